/** SHA-256 over pieces of memory that two threads share: one reads and writes files, the other one sums what was read. */
import { createHash } from 'node:crypto'
import type { MessagePort } from 'node:worker_threads'
import { internal } from '../../errors.ts'

export interface Summer {
  /** Resolves when `bytes` may change again. */
  update(bytes: Uint8Array): Promise<void> | void
  /** In hex. */
  digest(): Promise<string> | string
  close(): void
}

/** In this thread. */
export function ownSummer(): Summer {
  const sum = createHash('sha256')
  return { update: bytes => void sum.update(bytes), digest: () => sum.digest('hex'), close() {} }
}

type Request = { bytes: Uint8Array } | 'digest'

/** In the thread that {@link serveSummer} runs in, at the other end of `port`. Pieces have to be in shared memory. */
export class RemoteSummer implements Summer {
  readonly #port: MessagePort
  readonly #waiting: { resolve(answer: string): void; reject(error: Error): void }[] = []

  constructor(port: MessagePort) {
    this.#port = port
    port.on('message', (answer: string) => this.#waiting.shift()?.resolve(answer))
    port.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(internal('a file worker ended'))
    })
  }

  async update(bytes: Uint8Array): Promise<void> {
    await this.#ask({ bytes })
  }

  digest(): Promise<string> {
    return this.#ask('digest')
  }

  close(): void {
    this.#port.close()
  }

  #ask(request: Request): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#port.postMessage(request)
    })
  }
}

/** Sum what comes over `port` until it is closed. */
export function serveSummer(port: MessagePort): void {
  const sum = createHash('sha256')
  port.on('message', (request: Request) => {
    if (request === 'digest') port.postMessage(sum.digest('hex'))
    else {
      sum.update(request.bytes)
      port.postMessage('')
    }
  })
}
