/** `Config` of a container. */
import type { ContainerConfig, HealthcheckSpec } from '../../engine/types.ts'
import {
  bool,
  field,
  int,
  int64,
  map,
  nullable,
  object,
  set,
  string,
  stringOrStrings,
  strings,
} from './codec.ts'

export const healthcheck = object<HealthcheckSpec>('container.HealthConfig', [
  field<HealthcheckSpec, 'test'>('Test', 'test', strings, { omit: true }),
  field<HealthcheckSpec, 'interval'>('Interval', 'interval', int64, { omit: true }),
  field<HealthcheckSpec, 'timeout'>('Timeout', 'timeout', int64, { omit: true }),
  field<HealthcheckSpec, 'startPeriod'>('StartPeriod', 'startPeriod', int64, { omit: true }),
  field<HealthcheckSpec, 'startInterval'>('StartInterval', 'startInterval', int64, { omit: true }),
  field<HealthcheckSpec, 'retries'>('Retries', 'retries', int, { omit: true }),
])

type C = ContainerConfig
export const containerConfigFields = [
  field<C, 'hostname'>('Hostname', 'hostname', string),
  field<C, 'domainname'>('Domainname', 'domainname', string),
  field<C, 'user'>('User', 'user', string),
  field<C, 'attachStdin'>('AttachStdin', 'attachStdin', bool),
  field<C, 'attachStdout'>('AttachStdout', 'attachStdout', bool),
  field<C, 'attachStderr'>('AttachStderr', 'attachStderr', bool),
  field<C, 'exposedPorts'>('ExposedPorts', 'exposedPorts', set, { omit: true }),
  field<C, 'tty'>('Tty', 'tty', bool),
  field<C, 'openStdin'>('OpenStdin', 'openStdin', bool),
  field<C, 'stdinOnce'>('StdinOnce', 'stdinOnce', bool),
  field<C, 'env'>('Env', 'env', strings),
  field<C, 'cmd'>('Cmd', 'cmd', stringOrStrings),
  field<C, 'healthcheck'>('Healthcheck', 'healthcheck', healthcheck, { omit: true }),
  field<C, 'image'>('Image', 'image', string),
  field<C, 'volumes'>('Volumes', 'volumes', set),
  field<C, 'workingDir'>('WorkingDir', 'workingDir', string),
  field<C, 'entrypoint'>('Entrypoint', 'entrypoint', stringOrStrings),
  field<C, 'networkDisabled'>('NetworkDisabled', 'networkDisabled', bool, { omit: true }),
  field<C, 'onBuild'>('OnBuild', 'onBuild', strings),
  field<C, 'labels'>('Labels', 'labels', map(string)),
  field<C, 'stopSignal'>('StopSignal', 'stopSignal', string, { omit: true }),
  field<C, 'stopTimeout'>('StopTimeout', 'stopTimeout', nullable(int), { omit: true }),
  field<C, 'shell'>('Shell', 'shell', stringOrStrings, { omit: true }),
]

export const containerConfig = object<ContainerConfig>('container.Config', containerConfigFields)
