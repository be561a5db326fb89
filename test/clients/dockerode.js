// The basic flows of dockerode. Exits 0 if all of them do what dockerode's own documentation says.
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import Docker from 'dockerode'
import tar from 'tar-stream'

const docker = new Docker({ socketPath: process.argv[2] })

assert.equal((await docker.ping()).toString(), 'OK')
assert.ok((await docker.listImages()).some(image => image.RepoTags?.includes('busybox:latest')))

// run, with its output collected
const output = new PassThrough()
let text = ''
output.on('data', chunk => {
  text += chunk
})
const [{ StatusCode }, ran] = await docker.run('busybox', ['sh', '-c', 'echo hello; exit 3'], output, {
  HostConfig: { NetworkMode: 'none' },
})
assert.deepEqual([StatusCode, text.trim()], [3, 'hello'])
await ran.remove()

// create, attach, start, write, wait
const container = await docker.createContainer({
  Image: 'busybox',
  Cmd: ['cat'],
  OpenStdin: true,
  StdinOnce: true,
  HostConfig: { NetworkMode: 'none' },
})
const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true })
const echoed = collect(stream)
await container.start()
stream.write('through and back\n')
stream.end()
await container.wait()
assert.equal((await echoed).stdout, 'through and back\n')
await container.remove()

// exec, inspect, stats, stop
const idle = await docker.createContainer({
  Image: 'busybox',
  Cmd: ['sleep', '1000'],
  HostConfig: { NetworkMode: 'none' },
})
await idle.start()
const exec = await idle.exec({
  Cmd: ['sh', '-c', 'echo out; echo err >&2; exit 4'],
  AttachStdout: true,
  AttachStderr: true,
})
assert.deepEqual(await collect(await exec.start({})), { stdout: 'out\n', stderr: 'err\n' })
assert.equal((await exec.inspect()).ExitCode, 4)
assert.ok((await idle.stats({ stream: false })).pids_stats.current >= 1)
await idle.stop({ t: 0 })
assert.equal((await idle.inspect()).State.Running, false)
await idle.remove()

// build from a context in memory
const context = tar.pack()
context.entry({ name: 'Dockerfile' }, 'FROM busybox\nCOPY greeting /\nCMD cat /greeting\n')
context.entry({ name: 'greeting' }, 'built\n')
context.finalize()
const build = await docker.buildImage(context, { t: 'from-dockerode' })
const steps = await new Promise((resolve, reject) =>
  docker.modem.followProgress(build, (error, events) => (error ? reject(error) : resolve(events))),
)
assert.equal(
  steps.find(step => step.error),
  undefined,
)
assert.ok((await docker.getImage('from-dockerode').inspect()).Id)
await docker.getImage('from-dockerode').remove()

function collect(stream) {
  const result = { stdout: '', stderr: '' }
  const sinks = Object.keys(result).map(name =>
    new PassThrough().on('data', chunk => (result[name] += chunk)),
  )
  docker.modem.demuxStream(stream, ...sinks)
  return new Promise(resolve => stream.on('end', () => setImmediate(() => resolve(result))))
}
