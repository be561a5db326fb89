import assert from 'node:assert/strict'
import * as dgram from 'node:dgram'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import * as linux from './index.ts'

const root = process.getuid?.() === 0
const skip = root ? false : 'needs root'
let folder = ''

before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'linux-'))
})
after(() => fs.rmSync(folder, { recursive: true }))

const failsWith = (code: string, syscall?: string) => (error: unknown) =>
  error instanceof linux.LinuxError &&
  error.code === code &&
  (syscall === undefined || error.syscall === syscall)

describe('files', () => {
  test('openat2 keeps links inside the root', () => {
    const jail = path.join(folder, 'jail')
    fs.mkdirSync(path.join(jail, 'etc'), { recursive: true })
    fs.writeFileSync(path.join(jail, 'etc/name'), 'inside')
    fs.symlinkSync('/etc', path.join(jail, 'absolute'))
    fs.symlinkSync('../../../../etc', path.join(jail, 'climbing'))
    const dirfd = fs.openSync(jail, linux.O_PATH)
    for (const name of ['etc/name', 'absolute/name', 'climbing/name', '../../etc/name']) {
      const fd = linux.openat2(dirfd, name, { resolve: linux.RESOLVE_IN_ROOT })
      assert.equal(fs.readFileSync(fd, 'utf8'), 'inside')
      fs.closeSync(fd)
    }
    const beneath = { resolve: linux.RESOLVE_BENEATH }
    assert.throws(() => linux.openat2(dirfd, 'absolute/name', beneath), failsWith('EXDEV', 'openat2'))
    assert.throws(() => linux.openat2(dirfd, 'nosuch'), failsWith('ENOENT'))
    fs.closeSync(dirfd)
  })

  test('extended attributes, of links too', { skip }, () => {
    const link = path.join(folder, 'link')
    fs.symlinkSync('nowhere', link)
    linux.setxattr(link, 'trusted.name', Buffer.from([0, 255]))
    assert.deepEqual(linux.getxattr(link, 'trusted.name'), Buffer.from([0, 255]))
    assert.deepEqual(linux.listxattr(link), ['trusted.name'])
    assert.equal(linux.getxattr(link, 'trusted.other'), undefined)
    assert.throws(() => linux.getxattr(path.join(folder, 'nosuch'), 'trusted.name'), failsWith('ENOENT'))
  })

  test('times to the nanosecond, before 1970 too', () => {
    const file = path.join(folder, 'times')
    fs.writeFileSync(file, '')
    linux.lutimens(file, 1_234_567_891_123_456_789n, -1n)
    const stat = fs.lstatSync(file, { bigint: true })
    assert.deepEqual([stat.atimeNs, stat.mtimeNs], [1_234_567_891_123_456_789n, -1n])
  })

  test('nodes, locks, memory files', { skip }, () => {
    const node = path.join(folder, 'node')
    linux.mknod(node, linux.S_IFCHR | 0o600, 1, 3)
    assert.equal(fs.statSync(node).rdev, 0x103)
    const file = path.join(folder, 'locked')
    const fd = fs.openSync(file, 'w+')
    const other = fs.openSync(file, 'r')
    assert.equal(linux.flock(fd, 'exclusive'), true)
    assert.equal(linux.flock(other, 'exclusive'), false)
    linux.flock(fd, 'unlock')
    assert.equal(linux.flock(other, 'shared'), true)
    fs.closeSync(fd)
    fs.closeSync(other)
    const memory = linux.memfdCreate('test', Buffer.from('content'))
    assert.equal(fs.readFileSync(memory, 'utf8'), 'content')
    fs.closeSync(memory)
  })

  test('a confined worker sees only its root', { skip }, async () => {
    const jail = fs.mkdtempSync(path.join(folder, 'confined-'))
    fs.writeFileSync(path.join(jail, 'only'), '')
    fs.symlinkSync('/', path.join(jail, 'out'))
    const code = `
      const { parentPort, workerData } = require('node:worker_threads')
      import(workerData.index).then(linux => {
        linux.confineThread(workerData.jail)
        const fs = require('node:fs')
        parentPort.postMessage([fs.readdirSync('/').sort(), fs.readdirSync('/out/../..').sort()])
      })`
    const workerData = { index: new URL('./index.ts', import.meta.url).href, jail }
    const worker = new Worker(code, { eval: true, workerData })
    const [seen] = await once(worker, 'message')
    assert.deepEqual(seen, [
      ['only', 'out'],
      ['only', 'out'],
    ])
    assert.ok(fs.existsSync('/proc/self'))
    assert.throws(() => linux.confineThread(jail), failsWith('EINVAL'))
    await worker.terminate()
  })
})

describe('processes', () => {
  test('a child gets what it is given, and nothing else', () => {
    const out = linux.memfdCreate('out')
    const script = 'echo $0 $1 $NAME $HOME; pwd; ls /proc/self/fd | wc -l'
    const pid = linux.spawn({
      path: '/bin/sh',
      argv: ['sh', '-c', script, 'zero', 'one'],
      env: ['NAME=value', 'PATH=/bin:/usr/bin'],
      fds: [-1, out, out],
      cwd: '/tmp',
    })
    assert.deepEqual(linux.waitpid(pid), { pid, exitCode: 0 })
    // stdin, stdout, stderr and ls's own
    assert.equal(fs.readFileSync(`/proc/self/fd/${out}`, 'utf8'), 'zero one value\n/tmp\n4\n')
    fs.closeSync(out)
  })

  test('what cannot be executed is an error here', () => {
    assert.throws(() => linux.spawn({ path: '/nosuch', argv: ['x'] }), failsWith('ENOENT', 'spawn'))
    assert.throws(() => linux.spawn({ path: '/nosuch', argv: ['x'], detached: true }), failsWith('ENOENT'))
  })

  test('exit codes and signals', () => {
    const run = (script: string) => linux.spawn({ path: '/bin/sh', argv: ['sh', '-c', script] })
    assert.equal(linux.waitpid(run('exit 3'))!.exitCode, 3)
    const pid = run('sleep 100')
    assert.equal(linux.waitpid(pid, linux.WNOHANG), undefined)
    const pidfd = linux.pidfdOpen(pid)
    linux.pidfdSendSignal(pidfd, 15)
    assert.deepEqual(linux.waitpid(pid), { pid, exitCode: 143, signal: 15 })
    fs.closeSync(pidfd)
    assert.throws(() => linux.waitpid(pid), failsWith('ECHILD'))
    assert.throws(() => linux.kill(pid, 0), failsWith('ESRCH'))
  })

  test('a detached program is not our child', () => {
    const pid = linux.spawn({ path: '/bin/sh', argv: ['sh', '-c', 'sleep 100'], detached: true })
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    linux.kill(pid, 9)
    assert.notEqual(Number(fields[1]), process.pid)
    assert.equal(Number(fields[3]), pid) // its own session
  })

  test('pageSize and clockTicks', () => {
    assert.ok(linux.pageSize() >= 4096)
    assert.equal(linux.clockTicks(), 100)
  })
})

describe('mounts', { skip }, () => {
  test('a detached mount is seen by nobody, then by everybody, then by nobody', () => {
    const fsfd = linux.fsopen('tmpfs')
    linux.fsconfigSetString(fsfd, 'size', '1m')
    linux.fsconfigSetString(fsfd, 'mode', '700')
    linux.fsconfigCreate(fsfd)
    const mount = linux.fsmount(fsfd, linux.MOUNT_ATTR_NOSUID)
    fs.closeSync(fsfd)
    fs.writeFileSync(`/proc/self/fd/${mount}/file`, 'in memory')
    const target = path.join(folder, 'mount')
    fs.mkdirSync(target)
    assert.deepEqual(fs.readdirSync(target), [])
    linux.moveMount(mount, target)
    assert.equal(fs.readFileSync(path.join(target, 'file'), 'utf8'), 'in memory')
    const copy = linux.openTree(target)
    linux.mountSetattr(copy, { set: linux.MOUNT_ATTR_RDONLY })
    assert.throws(() => fs.writeFileSync(`/proc/self/fd/${copy}/file`, ''), { code: 'EROFS' })
    linux.umount(target, linux.MNT_DETACH)
    assert.deepEqual(fs.readdirSync(target), [])
    fs.closeSync(mount)
    fs.closeSync(copy)
  })

  test('a refusal says what the kernel says', () => {
    const fsfd = linux.fsopen('tmpfs')
    assert.throws(
      () => linux.fsconfigSetString(fsfd, 'nosuch', 'option'),
      (error: Error) => /^EINVAL: .*tmpfs: Unknown parameter 'nosuch'/.test(error.message),
    )
    fs.closeSync(fsfd)
    assert.throws(() => linux.fsopen('nosuchfs'), failsWith('ENODEV', 'fsopen'))
  })
})

describe('sockets', () => {
  test('fds travel over a unix socket', () => {
    const [left, right] = linux.socketpair()
    const file = linux.memfdCreate('passed', Buffer.from('carried'))
    linux.sendFds(left, Buffer.from('with'), [file])
    const { data, fds } = linux.recvFds(right, 100)
    assert.equal(Buffer.from(data).toString(), 'with')
    assert.equal(fs.readFileSync(fds[0]!, 'utf8'), 'carried')
    for (const fd of [left, right, file, ...fds]) fs.closeSync(fd)
  })

  test('netlink answers, and says why not', () => {
    const socket = new linux.NetlinkSocket(linux.NETLINK_ROUTE)
    // nlmsghdr: RTM_GETLINK, REQUEST|ACK; ifinfomsg: index 1
    const request = Buffer.alloc(32)
    request.writeUInt32LE(32, 0)
    request.writeUInt16LE(18, 4)
    request.writeUInt16LE(5, 6)
    request.writeInt32LE(1, 20)
    socket.send(request)
    const answer = socket.recv()!
    assert.equal(answer.readUInt16LE(4), 16) // RTM_NEWLINK
    assert.ok(answer.includes('lo\0'))
    assert.equal(socket.recv()!.readInt32LE(16), 0) // the acknowledgement
    request.writeInt32LE(987654, 20)
    socket.send(request)
    assert.equal(socket.recv()!.readInt32LE(16), -19) // ENODEV
    assert.equal(socket.recv(0), undefined)
    socket.close()
  })

  test('sockets of another network namespace', { skip }, async () => {
    const { fd: netns, socket: inside } = linux.createNetns(linux.NETLINK_ROUTE)
    // Bring lo up in there: RTM_NEWLINK, index 1, flags and change IFF_UP
    const up = Buffer.alloc(32)
    up.writeUInt32LE(32, 0)
    up.writeUInt16LE(16, 4)
    up.writeUInt16LE(5, 6)
    up.writeInt32LE(1, 20)
    up.writeUInt32LE(1, 24)
    up.writeUInt32LE(1, 28)
    inside.send(up)
    assert.equal(inside.recv()!.readInt32LE(16), 0)
    inside.close()
    const port = 4242
    const tcp = linux.openSocketInNetns(netns, 'tcp4', '127.0.0.1', port)
    assert.throws(() => linux.openSocketInNetns(netns, 'tcp4', '127.0.0.1', port), failsWith('EADDRINUSE'))
    const server = net.createServer(socket => socket.end('from inside'))
    server.listen({ fd: tcp })
    await once(server, 'listening')
    // Nobody is there from here.
    const client = net.connect(port, '127.0.0.1')
    const [error] = await once(client, 'error')
    assert.equal(error.code, 'ECONNREFUSED')
    server.close()
    const [receiver, sender] = [0, 0].map(() => dgram.createSocket('udp4')) as [dgram.Socket, dgram.Socket]
    receiver.bind({ fd: linux.openSocketInNetns(netns, 'udp4', '127.0.0.1', 53) })
    sender.bind({ fd: linux.openSocketInNetns(netns, 'udp4', '127.0.0.1', 0) })
    sender.send('ping', 53, '127.0.0.1')
    const [message] = await once(receiver, 'message')
    assert.equal(String(message), 'ping')
    receiver.close()
    sender.close()
    fs.closeSync(netns)
    assert.throws(() => linux.openSocketInNetns(-1, 'udp4', 'not an address', 53), failsWith('EINVAL'))
  })
})
