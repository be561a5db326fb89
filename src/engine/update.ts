/** `docker update`: limits and restart policy of a container, running or not; and, beyond Docker, its published ports. */
import { GantryError, invalid, messageOf } from '../errors.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { linuxResources } from './linux-resources.ts'
import { networkContainer } from './network-request.ts'
import { checkResources } from './resources.ts'
import type { UpdateOptions } from './results.ts'
import type { HostSpec, PortBinding, Resources } from './types.ts'
import { checkPolicy, checkPorts } from './validate.ts'

/** What cannot change while the processes are there. */
const FIXED = ['devices', 'deviceCgroupRules', 'deviceRequests', 'ulimits', 'cgroupParent'] as const

export async function updateContainer(
  context: EngineContext,
  container: Container,
  options: UpdateOptions,
): Promise<{ warnings: string[] }> {
  const { restartPolicy, portBindings } = options
  const changes = given(options.resources)
  if (restartPolicy) checkPolicy(restartPolicy)
  if (portBindings) checkPorts({ portBindings })
  const { record } = container
  const warnings = checkResources(changes, record.host)
  const fail = (text: string) =>
    new GantryError('internal', `Cannot update container ${container.id}: ${text}`)
  await context.locks.run(container.id, async () => {
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
    const undoPorts = portBindings && (await publish(context, container, portBindings))
    if (container.task && Object.keys(changes).length > 0) {
      try {
        container.cgroup!.update(linuxResources(merged))
      } catch (error) {
        await undoPorts?.()
        throw fail(messageOf(error))
      }
    }
    Object.assign(record.host, merged)
    if (portBindings) {
      Object.assign(record.host, { portBindings, publishAllPorts: false })
      // As with `-p` of `run`: what is published is exposed.
      record.config.exposedPorts = [
        ...new Set([...(record.config.exposedPorts ?? []), ...Object.keys(portBindings)]),
      ]
    }
    if (restartPolicy?.name) record.host.restartPolicy = restartPolicy
    context.states.updated(container, portBindings && { ports: portsOf(context, container) })
  })
  return { warnings }
}

/**
 * Changes the ports of a running container, or finds fault with what the next start is to publish. Answers how to undo it.
 * The user's bindings are replaced whole; those that stay are not disturbed.
 */
async function publish(
  context: EngineContext,
  { record, task }: Container,
  portBindings: Record<string, PortBinding[]>,
): Promise<() => Promise<unknown>> {
  const { networks } = context
  const mode = record.host.networkMode ?? ''
  if (mode.startsWith('container:')) {
    throw invalid('conflicting options: port publishing and the container type network mode')
  }
  const before = networkContainer(context, record)
  if (!task) {
    networks.validate({ ...before, portBindings })
    return async () => {}
  }
  await networks.publish(record.id, { portBindings })
  return () => networks.publish(record.id, before)
}

/** For the event: `80/tcp=0.0.0.0:8080,80/tcp=[::]:8080`; '' where nothing is published. */
function portsOf(context: EngineContext, { record }: Container): string {
  const { ports } = context.networks.state(networkContainer(context, record))
  return Object.entries(ports)
    .flatMap(([port, bindings]) =>
      (bindings ?? []).map(({ hostIp, hostPort }) => {
        const address = hostIp.includes(':') ? `[${hostIp}]` : hostIp
        return `${port}=${address}:${hostPort}`
      }),
    )
    .join()
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
  if (memory > 0 && swap === 0 && currentSwap <= memory && currentSwap !== -1) {
    throw fail(
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    )
  }
  if (changes.nanoCpus && (host.cpuPeriod || host.cpuQuota)) {
    const what = host.cpuPeriod ? 'CPU Period' : 'CPU Quota'
    throw fail(`Conflicting options: Nano CPUs cannot be updated as ${what} has already been set`)
  }
  if ((changes.cpuPeriod || changes.cpuQuota) && host.nanoCpus) {
    const what = changes.cpuPeriod ? 'CPU Period' : 'CPU Quota'
    throw fail(`Conflicting options: ${what} cannot be updated as NanoCPUs has already been set`)
  }
}
