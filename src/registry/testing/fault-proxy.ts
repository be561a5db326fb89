/** A proxy before a registry that does, by seeded chance, what networks and servers do on bad days. */
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { defer } from './kit.ts'

export const faults = [
  'cut answer',
  'cut request',
  'lose answer',
  'stall',
  'truncate',
  'flip bit',
  'wrong digest header',
  'another range',
  '401',
  '429',
  '500',
  '503',
  'html',
] as const

export type Fault = (typeof faults)[number]

export interface FaultProxy {
  host: string
  /** How often each was done. */
  done: Record<string, number>
}

/** `choose` says what to do to a request; `undefined` for nothing. */
export async function faultProxy(
  t: Pick<TestContext, 'after'>,
  upstream: string,
  random: () => number,
  choose: (request: http.IncomingMessage) => Fault | undefined,
): Promise<FaultProxy> {
  const done: Record<string, number> = {}
  const agent = new http.Agent({ keepAlive: true })
  const server = http.createServer((request, response) => {
    const fault = choose(request)
    if (fault) done[fault] = (done[fault] ?? 0) + 1
    request.on('error', () => {})
    response.on('error', () => {})
    const status = Number(fault)
    if (status > 0 || fault === 'html') {
      request.resume()
      response.writeHead(status || 502, {
        'Content-Type': 'text/html',
        ...(status === 429 && { 'Retry-After': '0' }),
      })
      response.end('<html>no</html>')
      return
    }
    if (fault === 'stall') {
      request.resume()
      return
    }
    const [hostname, port] = upstream.split(':')
    const forward = http.request({
      hostname,
      port,
      agent,
      method: request.method,
      path: request.url,
      headers: { ...request.headers, host: request.headers.host },
    })
    forward.on('error', () => response.destroy())
    response.on('close', () => forward.destroy())
    if (fault === 'cut request') cutRequest(request, forward, random)
    else request.pipe(forward)
    forward.on('response', answer => {
      answer.on('error', () => response.destroy())
      if (fault === 'lose answer') {
        answer.resume().on('end', () => request.socket.destroy())
        return
      }
      const headers = { ...answer.headers }
      if (fault === 'wrong digest header') headers['docker-content-digest'] = `sha256:${'0'.repeat(64)}`
      if (fault === 'another range' && headers['content-range']) headers['content-range'] = 'bytes 1-2/3'
      if (fault === 'truncate') delete headers['content-length']
      response.writeHead(answer.statusCode ?? 500, headers)
      const limit =
        fault === 'cut answer' || fault === 'truncate'
          ? Math.floor(random() * Number(answer.headers['content-length'] ?? 0))
          : Infinity
      let sent = 0
      let flipped = fault !== 'flip bit'
      answer.on('data', (chunk: Buffer) => {
        let bytes = chunk
        if (!flipped && random() < 0.5) {
          bytes = Buffer.from(chunk)
          bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8)
          flipped = true
        }
        if (sent + bytes.length > limit) {
          const part = bytes.subarray(0, limit - sent)
          sent = limit
          answer.destroy()
          if (fault === 'truncate') response.end(part)
          else response.write(part, () => request.socket.destroy())
          return
        }
        sent += bytes.length
        if (!response.write(bytes)) {
          answer.pause()
          response.once('drain', () => answer.resume())
        }
      })
      answer.on('end', () => response.end())
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  defer(t, () => {
    server.closeAllConnections()
    server.close()
    agent.destroy()
  })
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, done }
}

function cutRequest(request: http.IncomingMessage, forward: http.ClientRequest, random: () => number): void {
  const limit = Math.floor(random() * Number(request.headers['content-length'] ?? 0))
  let passed = 0
  request.on('data', (chunk: Buffer) => {
    passed += chunk.length
    if (passed < limit) forward.write(chunk)
    else {
      forward.destroy()
      request.socket.destroy()
    }
  })
  request.on('end', () => {
    forward.destroy()
    request.socket.destroy()
  })
}
