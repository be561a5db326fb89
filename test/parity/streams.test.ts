/** Streams of a running daemon that no command line shows: websockets, terminals, readers that do not read, clients that go away. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as http from 'node:http'
import type * as net from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { eventually } from '../support/eventually.ts'

describe('streams', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  before(async () => {
    daemon = await Daemon.start()
  })
  after(() => daemon?.remove())

  async function create(config: object): Promise<string> {
    const answer = await daemon.api('POST', '/containers/create', {
      Image: 'busybox',
      HostConfig: { NetworkMode: 'none' },
      ...config,
    })
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body.Id
  }

  /** The raw connection after 101. */
  function upgrade(url: string, body?: object): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
      const request = http.request({
        socketPath: daemon.socket,
        method: 'POST',
        path: url,
        headers: {
          Connection: 'Upgrade',
          Upgrade: 'tcp',
          ...(body && { 'Content-Type': 'application/json' }),
        },
      })
      request.on('upgrade', (_response, socket) => resolve(socket as net.Socket))
      request.on('response', response => reject(new Error(String(response.statusCode))))
      request.on('error', reject)
      request.end(body && JSON.stringify(body))
    })
  }

  async function everything(socket: net.Socket): Promise<string> {
    let text = ''
    for await (const chunk of socket) text += chunk
    return text
  }

  const interactive = { AttachStdin: true, AttachStdout: true, OpenStdin: true, StdinOnce: true }

  test('attach by websocket', async () => {
    const id = await create({ Cmd: ['cat'], Tty: true, ...interactive })
    const url = `ws+unix://${daemon.socket}:/v1.50/containers/${id}/attach/ws?stream=1&stdin=1&stdout=1`
    const socket = new WebSocket(url)
    let text = ''
    socket.on('message', data => {
      text += data
    })
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
    await daemon.api('POST', `/containers/${id}/start`)
    socket.send('through\n')
    await eventually(() => assert.match(text, /through\r\nthrough\r\n/))
    const closed = new Promise(resolve => socket.on('close', resolve))
    await daemon.api('POST', `/containers/${id}/kill`)
    await closed
  })

  test('detach keys end the stream and nothing else', async () => {
    const id = await create({ Cmd: ['cat'], Tty: true, ...interactive, StdinOnce: false })
    const socket = await upgrade(`/containers/${id}/attach?stream=1&stdin=1&stdout=1&detachKeys=a,ctrl-b`)
    await daemon.api('POST', `/containers/${id}/start`)
    socket.write('typed\na\x02')
    await everything(socket)
    const { body } = await daemon.api('GET', `/containers/${id}/json`)
    assert.equal(body.State.Status, 'running')
    await daemon.api('POST', `/containers/${id}/kill`)
  })

  test('a terminal is as large as it is told', async () => {
    const id = await create({ Cmd: ['sh'], Tty: true, ...interactive })
    const socket = await upgrade(`/containers/${id}/attach?stream=1&stdin=1&stdout=1`)
    await daemon.api('POST', `/containers/${id}/start`)
    const resized = await daemon.api('POST', `/containers/${id}/resize?h=33&w=77`)
    assert.equal(resized.status, 200)
    socket.write('stty size; exit 0\n')
    assert.match(await everything(socket), /33 77/)
  })

  test('the end of input is passed on, and output still comes', async () => {
    const id = await create({ Cmd: ['sh', '-c', 'cat; echo after'], ...interactive })
    const socket = await upgrade(`/containers/${id}/attach?stream=1&stdin=1&stdout=1`)
    await daemon.api('POST', `/containers/${id}/start`)
    socket.end('before\n')
    const text = await everything(socket)
    assert.match(text, /before\n[\s\S]*after\n$/)
  })

  test('a reader that does not read holds the writer, not the memory', async () => {
    const size = 64 << 20
    const id = await create({
      Cmd: ['head', '-c', String(size), '/dev/zero'],
      AttachStdout: true,
      Tty: false,
    })
    const socket = await upgrade(`/containers/${id}/attach?stream=1&stdout=1`)
    socket.pause()
    await daemon.api('POST', `/containers/${id}/start`)
    const residentMegabytes = () =>
      Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${daemonPid()}/status`, 'utf8'))![1]) / 1024
    const before = residentMegabytes()
    await new Promise(resolve => setTimeout(resolve, 500))
    assert.ok(residentMegabytes() - before < 40, 'the daemon kept what nobody read')
    let bytes = 0
    for await (const chunk of socket) bytes += (chunk as Buffer).length
    assert.ok(bytes > size)
  })

  test('clients that go away leave nothing open', async () => {
    const id = await create({ Cmd: ['sleep', '1000'], ...interactive, StdinOnce: false })
    await daemon.api('POST', `/containers/${id}/start`)
    const open = () => fs.readdirSync(`/proc/${daemonPid()}/fd`).length
    const visit = async () => {
      const socket = await upgrade(`/containers/${id}/attach?stream=1&stdin=1&stdout=1`)
      socket.destroy()
    }
    await visit()
    await eventually(() => assert.ok(open() > 0))
    const before = open()
    for (let round = 0; round < 100; round++) await visit()
    await eventually(() => assert.ok(open() <= before + 3, `${open()} open, ${before} before`))
    await daemon.api('POST', `/containers/${id}/kill`)
  })

  /** The pidfile's: the process that the test started may be a wrapper. */
  const daemonPid = () => Number(fs.readFileSync(`${daemon.folder}/pid`, 'utf8'))
})
