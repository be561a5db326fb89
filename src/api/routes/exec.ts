/** Further processes in running containers. */
import type { ExecDetails, ExecSpec } from '../../engine/results.ts'
import { joinStreams, streamType } from '../join.ts'
import {
  bool,
  type Codec,
  decodeBody,
  field,
  mismatch,
  object,
  string,
  stringOrStrings,
  strings,
} from '../wire/codec.ts'
import { dimension } from './containers.ts'
import { get, post } from './route.ts'

const size: Codec<[number, number]> = {
  goType: '[2]uint',
  zero: null,
  decode(value, path) {
    if (!Array.isArray(value)) mismatch(value, path, this.goType)
    return [Number(value[0] ?? 0), Number(value[1] ?? 0)]
  },
  encode: value => value,
}

type E = ExecSpec
const createRequest = object<ExecSpec>('container.ExecOptions', [
  field<E, 'user'>('User', 'user', string),
  field<E, 'privileged'>('Privileged', 'privileged', bool),
  field<E, 'tty'>('Tty', 'tty', bool),
  field<E, 'consoleSize'>('ConsoleSize', 'consoleSize', size),
  field<E, 'attachStdin'>('AttachStdin', 'attachStdin', bool),
  field<E, 'attachStdout'>('AttachStdout', 'attachStdout', bool),
  field<E, 'attachStderr'>('AttachStderr', 'attachStderr', bool),
  field<E, 'detachKeys'>('DetachKeys', 'detachKeys', string),
  field<E, 'env'>('Env', 'env', strings),
  field<E, 'workingDir'>('WorkingDir', 'workingDir', string),
  field<E, 'cmd'>('Cmd', 'cmd', stringOrStrings),
])

interface StartRequest {
  detach?: boolean
  tty?: boolean
  consoleSize?: [number, number]
}
const startRequest = object<StartRequest>('container.ExecStartOptions', [
  field<StartRequest, 'detach'>('Detach', 'detach', bool),
  field<StartRequest, 'tty'>('Tty', 'tty', bool),
  field<StartRequest, 'consoleSize'>('ConsoleSize', 'consoleSize', size),
])

export const execRoutes = [
  post('/containers/{id...}/exec', async (call, engine) => {
    const { cmd = [], ...spec } = decodeBody(createRequest, await call.body())
    call.json(201, { Id: await engine.execs.create(call.params['id']!, { ...spec, cmd }) })
  }),

  post('/exec/{id}/start', async (call, engine) => {
    const request = decodeBody(startRequest, await call.body())
    const attached = await engine.execs.start(call.params['id']!, { ...request, signal: call.signal })
    if (!attached) return call.empty(200)
    await joinStreams(call.hijack(streamType(call, attached.tty)), attached.stream, call.req.socket)
  }),

  post('/exec/{id}/resize', async (call, engine) => {
    await engine.execs.resize(call.params['id']!, dimension(call, 'height'), dimension(call, 'width'))
    call.empty(200)
  }),

  get('/exec/{id}/json', (call, engine) => call.json(200, encode(engine.execs.inspect(call.params['id']!)))),
]

function encode(exec: ExecDetails): Record<string, unknown> {
  return {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: exec.spec.tty ?? false,
      entrypoint: exec.entrypoint,
      arguments: exec.arguments,
      privileged: exec.spec.privileged ?? false,
      ...(exec.spec.user && { user: exec.spec.user }),
    },
    OpenStdin: exec.openStdin,
    OpenStderr: exec.openStderr,
    OpenStdout: exec.openStdout,
    CanRemove: exec.canRemove,
    ContainerID: exec.containerId,
    DetachKeys: exec.detachKeys,
    Pid: exec.pid,
  }
}
