/** What a create request may not say, in Docker's words and Docker's order. What only costs a warning is collected. */
import { invalid } from '../errors.ts'
import { tweakCapabilities } from '../runtime/capabilities.ts'
import { checkLogConfig } from './log-config.ts'
import { checkResources } from './resources.ts'
import { parseSignal } from './signals.ts'
import type { ContainerConfig, ContainerSpec, HealthcheckSpec, HostSpec, RestartPolicy } from './types.ts'

/** Raises invalid. Returns warnings. */
export function validateSpec(spec: ContainerSpec, runtimes: readonly string[]): string[] {
  checkConflicts(spec)
  checkConfig(spec.config)
  return checkHost(spec.host, runtimes)
}

/** Pairs that cannot be had together. */
function checkConflicts({ config, host }: ContainerSpec): void {
  const mode = host.networkMode ?? ''
  const joins = mode.startsWith('container:')
  if (mode === 'container:' || mode === 'container') {
    throw invalid('invalid network mode: invalid container format container:<name|id>')
  }
  if (host.utsMode === 'host' && config.hostname) {
    throw invalid('conflicting options: hostname and the UTS mode')
  }
  if (joins && config.hostname) throw invalid('conflicting options: hostname and the network mode')
  if (joins && host.links?.length) {
    throw invalid(
      "conflicting options: container type network can't be used with links. This would result in undefined behavior",
    )
  }
  if (mode === 'host' && host.links?.length) {
    throw invalid(
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    )
  }
  if ((joins || mode === 'host') && host.dns?.length && joins) {
    throw invalid('conflicting options: dns and the network mode')
  }
  if (joins && host.extraHosts?.length) {
    throw invalid('conflicting options: custom host-to-IP mapping and the network mode')
  }
  if (joins && (Object.keys(host.portBindings ?? {}).length > 0 || host.publishAllPorts)) {
    throw invalid('conflicting options: port publishing and the container type network mode')
  }
  if (joins && config.exposedPorts?.length) {
    throw invalid('conflicting options: port exposing and the container type network mode')
  }
}

function checkConfig(config: ContainerConfig): void {
  if (config.workingDir && !config.workingDir.startsWith('/')) {
    throw invalid(`the working directory '${config.workingDir}' is invalid, it needs to be an absolute path`)
  }
  for (const variable of config.env ?? []) {
    if (variable === '' || variable.startsWith('='))
      throw invalid(`invalid environment variable: ${variable}`)
  }
  // Any number will do; one that is no signal is found when it is sent.
  if (config.stopSignal && !/^0*[1-9]\d*$/.test(config.stopSignal)) parseSignal(config.stopSignal)
  if (config.healthcheck) checkHealthcheck(config.healthcheck)
}

const MILLISECOND = 1_000_000

function checkHealthcheck(check: HealthcheckSpec): void {
  for (const [label, value] of [
    ['Interval', check.interval],
    ['Timeout', check.timeout],
    ['StartPeriod', check.startPeriod],
    ['StartInterval', check.startInterval],
  ] as const) {
    if (value && value < MILLISECOND) throw invalid(`${label} in Healthcheck cannot be less than 1ms`)
  }
  if ((check.retries ?? 0) < 0) throw invalid('Retries in Healthcheck cannot be negative')
}

function checkHost(host: HostSpec, runtimes: readonly string[]): string[] {
  checkRestartPolicy(host)
  for (const entry of host.extraHosts ?? []) {
    if (!/^[^:=]+[:=].+$/.test(entry)) throw invalid(`bad format for add-host: ${JSON.stringify(entry)}`)
  }
  tweakCapabilities(host.capAdd, host.capDrop)
  checkPorts(host)
  checkModes(host)
  if (host.isolation && host.isolation !== 'default') {
    throw invalid(`invalid isolation (${host.isolation}): linux only supports 'default'`)
  }
  if ((host.shmSize ?? 0) < 0) throw invalid('SHM size can not be less than 0')
  const oom = host.oomScoreAdj ?? 0
  if (oom < -1000 || oom > 1000) {
    throw invalid(`Invalid value ${oom}, range for oom score adj is [-1000, 1000]`)
  }
  if (host.runtime && !runtimes.includes(host.runtime)) {
    throw invalid(`unknown or invalid runtime name: ${host.runtime}`)
  }
  const strange = Object.keys(host.storageOpt ?? {}).find(key => key.toLowerCase() !== 'size')
  if (strange) throw invalid(`Unknown option ${strange}`)
  if (host.storageOpt && Object.keys(host.storageOpt).length > 0) {
    throw invalid("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
  }
  if (host.deviceRequests?.length) {
    const { driver = '', capabilities = [], deviceIds = [] } = host.deviceRequests[0]!
    if (driver === 'cdi') {
      throw invalid(`CDI device injection failed: unresolvable CDI devices ${deviceIds.join(', ')}`)
    }
    const text = capabilities.map(set => `[${set.join(' ')}]`).join(' ')
    throw invalid(`could not select device driver ${JSON.stringify(driver)} with capabilities: [${text}]`)
  }
  checkLogConfig(host.logConfig)
  const warnings = checkResources(host)
  if (host.mounts?.some(({ type }) => type === 'image')) {
    warnings.push('Image mount is an experimental feature')
  }
  if (host.networkMode === 'host' && Object.keys(host.portBindings ?? {}).length > 0) {
    warnings.unshift('Published ports are discarded when using host network mode')
  }
  return warnings
}

function checkRestartPolicy({ restartPolicy, autoRemove }: HostSpec): void {
  if (!restartPolicy) return
  checkPolicy(restartPolicy)
  if (autoRemove && restartPolicy.name && restartPolicy.name !== 'no') {
    throw invalid("can't create 'AutoRemove' container with restart policy")
  }
}

/** Raises invalid for a policy that does not exist or makes no sense. */
export function checkPolicy({ name, maximumRetryCount }: RestartPolicy): void {
  const fail = (text: string) => invalid(`invalid restart policy: ${text}`)
  if (!['', 'no', 'always', 'unless-stopped', 'on-failure'].includes(name)) {
    throw fail(`unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`)
  }
  if (name !== 'on-failure' && maximumRetryCount !== 0) {
    throw fail(
      `maximum retry count can only be used with 'on-failure'${maximumRetryCount < 0 ? ' and cannot be negative' : ''}`,
    )
  }
  if (maximumRetryCount < 0) throw fail('maximum retry count cannot be negative')
}

/** Raises invalid for what is no port or no range of ports. */
export function checkPorts({ portBindings = {} }: HostSpec): void {
  for (const [port, bindings] of Object.entries(portBindings)) {
    const number = Number(port.split('/')[0])
    if (!Number.isInteger(number) || number < 0 || number > 65535) {
      throw invalid(`invalid port specification: ${JSON.stringify(port)}`)
    }
    for (const { hostPort } of bindings ?? []) {
      const ends = hostPort === '' ? [] : hostPort.split('-')
      const valid = ends.length <= 2 && ends.every(end => /^\d{1,5}$/.test(end) && Number(end) <= 65535)
      if (!valid) throw invalid(`invalid port specification: ${JSON.stringify(hostPort)}`)
    }
  }
}

function checkModes(host: HostSpec): void {
  const check = (label: string, mode: string | undefined, accepted: RegExp): void => {
    if (mode && !accepted.test(mode)) throw invalid(`invalid ${label}: ${mode}`)
  }
  check('IPC mode', host.ipcMode, /^(none|private|shareable|host|container:.+)$/)
  check('PID mode', host.pidMode, /^(host|container:.+)$/)
  check('UTS mode', host.utsMode, /^host$/)
  check('cgroup namespace mode', host.cgroupnsMode, /^(private|host)$/)
}
