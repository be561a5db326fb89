/** The HTTP layer by itself, with an engine that has nothing but what is asked of it here. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as http from 'node:http'
import * as net from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import { Duplex, PassThrough } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import type { Engine } from '../engine/engine.ts'
import { conflict, notFound, notModified } from '../errors.ts'
import { silent } from '../logger.ts'
import { type Listener, listen } from './listen.ts'
import { createApi } from './server.ts'

/** Answers in capitals, and says goodbye when its input ends. */
function shouter(): Duplex {
  const out = new PassThrough()
  const input = new PassThrough()
  input.on('data', chunk => out.write(String(chunk).toUpperCase()))
  input.on('end', () => out.end('BYE'))
  return Duplex.from({ readable: out, writable: input } as unknown as Iterable<never>)
}

const aborted: string[] = []
const engine = {
  config: {},
  system: { version: () => ({ version: '1.2.3' }) },
  containers: {
    async start(ref: string) {
      if (ref === 'running') throw notModified('already running')
      if (ref === 'broken') throw new TypeError('a bug')
      throw notFound(`No such container: ${ref}`)
    },
    async kill() {
      throw conflict('not now')
    },
    async attach() {
      return { tty: false, stream: shouter() }
    },
    wait(ref: string, _condition: string, signal: AbortSignal) {
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted.push(ref)
          reject(signal.reason)
        })
      })
    },
    async list() {
      return []
    },
  },
  execs: {
    async start() {
      return { tty: false, stream: shouter() }
    },
  },
} as unknown as Engine

describe('the API over a unix socket', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'api-'))
  const socketPath = path.join(folder, 'api.sock')
  let listeners: Listener[]

  before(async () => {
    listeners = await listen(createApi(engine), `unix://${socketPath}`, { logger: silent, group: '' })
  })
  after(async () => {
    await Promise.all(listeners.map(listener => listener.stop(0)))
    fs.rmSync(folder, { recursive: true })
  })

  async function ask(method: string, url: string, body?: string, headers: http.OutgoingHttpHeaders = {}) {
    const request = http.request({ socketPath, method, path: url, headers, agent: false })
    request.end(body)
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      request.on('response', resolve).on('error', reject)
    })
    let text = ''
    for await (const chunk of response) text += chunk
    return { status: response.statusCode, headers: response.headers, text }
  }

  /** Sends `head` as it is, then what `talk` sends; everything that came back. */
  function converse(head: string, talk: (socket: net.Socket) => void = socket => socket.end()) {
    return new Promise<string>((resolve, reject) => {
      const socket = net.connect({ path: socketPath, allowHalfOpen: true })
      let text = ''
      socket.on('data', chunk => {
        text += chunk
      })
      socket.on('end', () => {
        socket.end()
        resolve(text)
      })
      socket.on('error', reject)
      socket.write(head)
      talk(socket)
    })
  }

  test('ping says who answers', async () => {
    const { status, headers, text } = await ask('GET', '/_ping')
    assert.equal(status, 200)
    assert.equal(text, 'OK')
    assert.equal(headers['api-version'], '1.55')
    assert.equal(headers['ostype'], 'linux')
    assert.equal(headers['docker-experimental'], 'false')
    assert.equal(headers['builder-version'], '2')
    assert.match(String(headers['server']), /^Docker\/1\.2\.3 \(linux\)$/)
    const silent = await ask('HEAD', '/v1.30/_ping')
    assert.equal(silent.status, 200)
    assert.equal(silent.text, '')
  })

  test('errors are JSON with a message, by kind', async () => {
    const expected: [string, string, number, string][] = [
      ['GET', '/nothing', 404, 'page not found'],
      ['DELETE', '/_ping', 404, 'page not found'],
      ['POST', '/v1.40/containers/x/start', 404, 'No such container: x'],
      ['POST', '/containers/x/kill', 409, 'not now'],
      ['POST', '/containers/broken/start', 500, 'a bug'],
      ['GET', '/v1.99/info', 400, 'client version 1.99 is too new. Maximum supported API version is 1.55'],
      ['POST', '/containers/x/wait?condition=y', 400, 'invalid condition: "y"'],
      ['GET', '/containers/json?filters=x', 400, 'invalid filter'],
      [
        'GET',
        '/swarm',
        503,
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
      ],
    ]
    for (const [method, url, status, message] of expected) {
      const answer = await ask(method, url)
      assert.equal(answer.status, status, url)
      assert.deepEqual(JSON.parse(answer.text), { message })
      assert.equal(answer.headers['content-type'], 'application/json')
    }
    const unchanged = await ask('POST', '/containers/running/start')
    assert.equal(unchanged.status, 304)
    assert.equal(unchanged.text, '')
  })

  test('bodies that are no JSON are refused in words', async () => {
    const expected: [string, string][] = [
      ['', 'invalid JSON: got EOF while reading request body'],
      ['{', 'invalid JSON: unexpected EOF'],
      ['{"Image":', 'invalid JSON: unexpected EOF'],
      ['{"Image":"x', 'invalid JSON: unexpected EOF'],
      ['{"a":01}', "invalid JSON: invalid character '1' after object key:value pair"],
      ["{'a':1}", "invalid JSON: invalid character '\\'' looking for beginning of object key string"],
      ['{"a" 1}', "invalid JSON: invalid character '1' after object key"],
      ['{"a":"b",}', "invalid JSON: invalid character '}' looking for beginning of object key string"],
      ['{"Image":"x"} x', 'unexpected content after JSON'],
      ['null', 'config cannot be empty in order to create a container'],
    ]
    for (const [body, message] of expected) {
      const answer = await ask('POST', '/containers/create', body, { 'Content-Type': 'application/json' })
      assert.equal(answer.status, 400)
      assert.equal(JSON.parse(answer.text).message, message)
    }
    const typed = await ask('POST', '/containers/create', '{}', { 'Content-Type': 'text/plain' })
    assert.equal(
      JSON.parse(typed.text).message,
      "unsupported Content-Type header (text/plain): must be 'application/json'",
    )
  })

  test('a body beyond the limit is refused unread', async () => {
    const text = await converse(
      'POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n{',
      () => {},
    ).catch(String)
    assert.match(text, /413 Payload Too Large[\s\S]*request body is larger than/)
  })

  test('a small body is taken before it is refused', async () => {
    let ended = false
    const options = { socketPath, method: 'POST', path: '/containers/x/kill', agent: false }
    const request = http.request({ ...options, headers: { 'Transfer-Encoding': 'chunked' } })
    const answer = new Promise<http.IncomingMessage>((resolve, reject) => {
      request.on('response', resolve).on('error', reject)
    })
    request.write('one')
    setTimeout(() => {
      ended = true
      request.end('two')
    }, 50)
    const response = await answer
    assert.ok(ended, 'answered while the body was still being written')
    assert.equal(response.statusCode, 409)
    response.resume()
  })

  test('a client that writes on when it is refused hears why', async () => {
    const megabyte = Buffer.alloc(1 << 20, 'x')
    const text = await converse(
      'POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 67108864\r\n\r\n',
      socket => {
        let left = 64
        const write = (): void => {
          while (left-- > 0) if (!socket.write(megabyte)) return void socket.once('drain', write)
          left = 0
        }
        write()
        // Nothing is read before all is written.
        socket.pause()
        const look = setInterval(() => {
          if (left > 0 || socket.writableLength > 0) return
          clearInterval(look)
          socket.resume()
        }, 5)
        socket.once('close', () => clearInterval(look))
      },
    )
    assert.match(text, /413 Payload Too Large[\s\S]*request body is larger than/)
  })

  test('attach takes the connection over, with half-close', async () => {
    const text = await converse(
      'POST /v1.45/containers/x/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly,',
      socket => socket.end('late'),
    )
    assert.match(text, /^HTTP\/1\.1 101 UPGRADED\r\n/)
    assert.match(text, /Content-Type: application\/vnd\.docker\.multiplexed-stream\r\n/)
    assert.match(text, /\r\n\r\nEARLY,LATEBYE$/)
  })

  test('exec start has a body before its stream', async () => {
    const body = '{"Detach":false}'
    const text = await converse(
      `POST /v1.41/exec/x/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
      socket => {
        setImmediate(() => {
          socket.end(`${body.slice(5)}typed`)
        })
      },
    )
    assert.match(text, /Content-Type: application\/vnd\.docker\.raw-stream\r\n/)
    assert.match(text, /\r\n\r\nTYPEDBYE$/)
  })

  test('a body that comes late is still a body', async () => {
    const head =
      'HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n'
    const text = await converse(`POST /v1.41/exec/x/start ${head}`, socket => {
      setTimeout(() => socket.write('{}'), 20)
      setTimeout(() => socket.end('typed'), 40)
    })
    assert.match(text, /101 UPGRADED[\s\S]*\r\n\r\nTYPEDBYE$/)
    const refused = await converse(`POST /v1.99/exec/x/start ${head}`, socket => {
      setTimeout(() => socket.write('{}'), 20)
    })
    assert.match(refused, /^HTTP\/1\.1 400 Bad Request\r\n/)
  })

  test('without an upgrade the older form answers', async () => {
    const { status, headers, text } = await ask('POST', '/containers/x/attach?stream=1', 'typed')
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/vnd.docker.raw-stream')
    assert.equal(headers['transfer-encoding'], undefined)
    assert.equal(text, 'TYPEDBYE')
  })

  test('an error before an upgrade is an HTTP error', async () => {
    const text = await converse(
      'POST /v1.99/containers/x/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
      () => {},
    )
    assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/)
  })

  test('elsewhere an upgrade is only an offer', async () => {
    const { status } = await ask('GET', '/_ping', undefined, { Connection: 'Upgrade', Upgrade: 'h2c' })
    assert.equal(status, 200)
  })

  test('a client that hangs up cancels what only it waited for', async () => {
    const request = http.request({
      socketPath,
      method: 'POST',
      path: '/containers/waited/wait',
      agent: false,
    })
    request.end()
    await new Promise(resolve => request.on('response', resolve))
    const gone = new Promise<void>(resolve => {
      const look = setInterval(() => {
        if (!aborted.includes('waited')) return
        clearInterval(look)
        resolve()
      }, 5)
    })
    request.destroy()
    await gone
  })

  test('only root and its group may connect', () => {
    assert.equal(fs.statSync(socketPath).mode & 0o777, 0o660)
  })
})
