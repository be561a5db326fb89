/** `docker update`: limits and restart policy of a container, running or not. */
import { GantryError, invalid, messageOf } from '../errors.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { linuxResources } from './linux-resources.ts'
import { checkResources } from './resources.ts'
import type { UpdateOptions } from './results.ts'
import type { HostSpec, Resources } from './types.ts'
import { checkPolicy } from './validate.ts'

/** What cannot change while the processes are there. */
const FIXED = ['devices', 'deviceCgroupRules', 'deviceRequests', 'ulimits', 'cgroupParent'] as const

export async function updateContainer(
  context: EngineContext,
  container: Container,
  options: UpdateOptions,
): Promise<{ warnings: string[] }> {
  const { restartPolicy } = options
  const changes = given(options.resources)
  if (restartPolicy) checkPolicy(restartPolicy)
  const { record } = container
  const warnings = checkResources(changes, record.host)
  const fail = (text: string) =>
    new GantryError('internal', `Cannot update container ${container.id}: ${text}`)
  await context.locks.run(container.id, () => {
    const { status } = record.state
    if (status === 'removing' || status === 'dead') {
      throw fail(`container is marked for removal and cannot be "update"`)
    }
    if (restartPolicy?.name && restartPolicy.name !== 'no' && record.host.autoRemove) {
      throw fail('Restart policy cannot be updated because AutoRemove is enabled for the container')
    }
    checkAgainst(record.host, changes, fail)
    const merged: HostSpec = { ...record.host, ...changes }
    if (changes.nanoCpus) {
      delete merged.cpuPeriod
      delete merged.cpuQuota
    }
    if (container.task && Object.keys(changes).length > 0) {
      try {
        container.cgroup!.update(linuxResources(merged))
      } catch (error) {
        throw fail(messageOf(error))
      }
    }
    Object.assign(record.host, merged)
    if (restartPolicy?.name) record.host.restartPolicy = restartPolicy
    context.states.updated(container)
  })
  return { warnings }
}

/** Without zeros and empty words, which mean "as it is". */
function given(resources: Resources): HostSpec {
  const entries = Object.entries(resources).filter(
    ([key, value]) =>
      !FIXED.includes(key as (typeof FIXED)[number]) &&
      value !== undefined &&
      value !== 0 &&
      value !== '' &&
      !(Array.isArray(value) && value.length === 0) &&
      value !== false,
  )
  return Object.fromEntries(entries) as HostSpec
}

function checkAgainst(host: HostSpec, changes: Resources, fail: (text: string) => Error): void {
  const memory = changes.memory ?? 0
  const swap = changes.memorySwap ?? 0
  const currentSwap = host.memorySwap ?? 0
  const currentMemory = host.memory ?? 0
  if (memory > 0 && swap === 0 && currentSwap <= memory && currentSwap !== -1) {
    throw fail(
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    )
  }
  if (changes.nanoCpus && (host.cpuPeriod || host.cpuQuota)) {
    const what = host.cpuPeriod ? 'CPU Period' : 'CPU Quota'
    throw invalid(`Conflicting options: Nano CPUs cannot be updated as ${what} has already been set`)
  }
  if ((changes.cpuPeriod || changes.cpuQuota) && host.nanoCpus) {
    const what = changes.cpuPeriod ? 'CPU Period' : 'CPU Quota'
    throw invalid(`Conflicting options: ${what} cannot be updated as NanoCPUs has already been set`)
  }
  if (swap > 0 && memory === 0 && currentMemory > swap) {
    throw fail(
      'Minimum memoryswap limit should be larger than already set memory limit, update the memory at the same time',
    )
  }
}
