/** A client's connection joined to a container's stream. */
import type { Duplex } from 'node:stream'
import { hasHungUp } from '../linux/index.ts'
import type { Call } from './call.ts'

const RAW = 'application/vnd.docker.raw-stream'
const MULTIPLEXED = 'application/vnd.docker.multiplexed-stream'

/** Since 1.42 a client that asked for an upgrade is told whether the stream is framed. */
export function streamType(call: Call, tty: boolean): string {
  return call.upgrade !== undefined && call.api >= 42 && !tty ? MULTIPLEXED : RAW
}

/**
 * Copies both ways, each as fast as its reader reads, until the container's side has ended; the client's end of input is passed on
 * and ends nothing else (a client that has sent all its input still waits for the output). Resolves when both are closed;
 * a client that breaks off is no error. `connection` is what `client` stands on, where Node put something around it.
 */
export function joinStreams(client: Duplex, container: Duplex, connection = client): Promise<void> {
  return new Promise(resolve => {
    let open = 2
    const closed = () => {
      if (--open === 0) resolve()
    }
    client.once('close', () => {
      container.destroy()
      closed()
    })
    container.once('close', () => {
      if (!client.writableEnded) client.end()
      // The container's side is over: what the client still sends goes nowhere, and its connection ends with ours.
      client.resume()
      client.once('finish', () => client.destroy())
      if (client.writableFinished) client.destroy()
      closed()
    })
    client.once('end', () => watch(client, connection))
    client.on('error', () => client.destroy())
    container.on('error', () => container.destroy())
    container.pipe(client)
    if (container.writable) client.pipe(container)
    else client.resume()
    container.once('end', () => container.destroy())
  })
}

/** Milliseconds between two looks at the clients that have sent all they had. */
const LOOK = 500
const silent = new Map<Duplex, Duplex>()
let timer: NodeJS.Timeout | undefined

/**
 * A client that has ended its input may wait for output, or may be gone: both look the same until something is written to it, and a
 * container may never write. So the kernel is asked now and then.
 */
function watch(client: Duplex, connection: Duplex): void {
  silent.set(client, connection)
  client.once('close', () => silent.delete(client))
  timer ??= setInterval(look, LOOK).unref()
}

function look(): void {
  for (const [client, connection] of silent) {
    const fd = fdOf(connection)
    if (fd !== undefined && hasHungUp(fd)) client.destroy()
  }
  if (silent.size > 0) return
  clearInterval(timer)
  timer = undefined
}

/** Node shows no public way to a socket's descriptor. */
function fdOf(connection: Duplex): number | undefined {
  const fd = (connection as Duplex & { _handle?: { fd?: number } })._handle?.fd
  return fd !== undefined && fd >= 0 ? fd : undefined
}
