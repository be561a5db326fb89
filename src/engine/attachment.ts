/**
 * A stream to a container that may not run yet: what is attached before the start is connected between "everything is set up"
 * and "go", so that not a byte is lost. Detach keys end it from the client's side.
 */
import { Duplex } from 'node:stream'
import type { Task, AttachOptions as TaskAttachOptions } from '../runtime/launcher.ts'
import { DetachScanner } from './detach-keys.ts'

export interface AttachmentOptions extends TaskAttachOptions {
  /** What ends the attachment when it is typed; empty for never. */
  detachKeys?: number[]
  onDetach?: () => void
}

/** What waits for a stdin that is not there yet. Bytes. */
const WAITING_INPUT = 1024 * 1024

export class Attachment extends Duplex {
  readonly #options: AttachmentOptions
  readonly #scanner: DetachScanner | undefined
  #inner: Duplex | undefined
  /** A write that came before the container did. */
  #pending: (() => void) | undefined

  constructor(options: AttachmentOptions) {
    super({ allowHalfOpen: true, writableHighWaterMark: WAITING_INPUT })
    this.#options = options
    if (options.detachKeys?.length) this.#scanner = new DetachScanner(options.detachKeys)
  }

  /** Join it to the process. Errors end the stream. */
  async connect(task: Task): Promise<void> {
    const { detachKeys: _keys, onDetach: _detach, ...options } = this.#options
    this.join(await task.attach(options))
  }

  /** Join it to another stream. */
  join(inner: Duplex): void {
    if (this.destroyed) {
      inner.destroy()
      return
    }
    this.#inner = inner
    inner.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) inner.pause()
    })
    inner.on('end', () => this.push(null))
    inner.on('error', error => this.destroy(error))
    inner.on('close', () => {
      if (!this.readableEnded) this.push(null)
      if (!this.writableEnded) this.end()
    })
    this.#pending?.()
    this.#pending = undefined
  }

  /** The container will not come. */
  abandon(error?: Error): void {
    if (error) this.destroy(error)
    else this.push(null)
  }

  override _read(): void {
    this.#inner?.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (!this.#options.stdin) {
      done()
      return
    }
    const { bytes, detached } = this.#scanner?.scan(chunk) ?? { bytes: chunk, detached: false }
    if (detached) {
      this.#options.onDetach?.()
      this.push(null)
      this.#inner?.destroy()
      done()
      return
    }
    const forward = (): void => {
      const inner = this.#inner!
      // A container that ended does not read: that is its business, not an error of the stream.
      if (inner.destroyed || inner.writableEnded || bytes.length === 0) done()
      else inner.write(bytes, () => done())
    }
    if (this.#inner) forward()
    else this.#pending = forward
  }

  override _final(done: (error?: Error | null) => void): void {
    const end = (): void => {
      if (this.#options.stdin) this.#inner!.end()
    }
    // Writes are finished by now, so nothing else is pending.
    if (this.#inner) end()
    else this.#pending = end
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner?.destroy()
    done(error)
  }
}
