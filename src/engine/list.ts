/** `docker ps`: which containers, in which order, in how many words. moby daemon/list.go */
import { GantryError, invalid } from '../errors.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { booleanOf, checkFilters, matchesLabels, valuesOf } from './filters.ts'
import { networkDetails } from './inspect.ts'
import type { ContainerSummary, Filters, Port } from './results.ts'
import { statusText } from './status-text.ts'

export interface ListOptions {
  /** Stopped ones too. */
  all?: boolean
  /** The newest n, stopped ones too. */
  limit?: number
  size?: boolean
  filters?: Filters
}

// biome-ignore format: a table
const ACCEPTED = [
  'ancestor', 'before', 'exited', 'expose', 'health', 'id', 'isolation', 'is-task', 'label', 'label!', 'name', 'network',
  'publish', 'since', 'status', 'volume',
]
const STATUSES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']
const HEALTHS = ['none', 'starting', 'healthy', 'unhealthy']

export async function listContainers(
  context: EngineContext,
  options: ListOptions,
): Promise<ContainerSummary[]> {
  const filters = options.filters ?? {}
  const matches = containerMatcher(context, filters)
  const limit = options.limit && options.limit > 0 ? options.limit : undefined
  const all =
    options.all ||
    limit !== undefined ||
    ['before', 'since', 'exited', 'status'].some(key => valuesOf(filters, key))
  const found = context.store
    .all()
    .sort(newestFirst)
    .filter(container => (all || container.isAlive) && matches(container))
  const chosen = limit === undefined ? found : found.slice(0, limit)
  return Promise.all(chosen.map(container => summarize(context, container, options.size)))
}

function newestFirst(a: Container, b: Container): number {
  return a.record.created < b.record.created ? 1 : -1
}

type Check = (container: Container) => boolean

/** Raises invalid for filters that do not exist or values that make no sense. */
function containerMatcher(context: EngineContext, filters: Filters): Check {
  checkFilters(filters, ACCEPTED)
  const checks: Check[] = [container => matchesLabels(filters, container.record.config.labels)]
  const any = (key: string, check: (container: Container, value: string) => boolean): void => {
    const values = valuesOf(filters, key)
    if (values) checks.push(container => values.some(value => check(container, value)))
  }
  oneOf(filters, 'status', 'state', STATUSES)
  oneOf(filters, 'health', 'health', HEALTHS)
  for (const value of valuesOf(filters, 'exited') ?? []) {
    if (!/^[+-]?\d+$/.test(value)) {
      throw invalid(
        `invalid filter 'exited=${value}': strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
      )
    }
  }
  any('id', ({ id }, value) => id.startsWith(value) || safeTest(value, id))
  any('name', ({ name }, value) => safeTest(value, `/${name}`) || safeTest(value, name))
  any('status', ({ record }, value) => record.state.status === value)
  any('health', ({ record }, value) => (record.state.health?.status ?? 'none') === value)
  any(
    'exited',
    ({ record }, value) => record.state.status === 'exited' && record.state.exitCode === Number(value),
  )
  any('volume', ({ record }, value) =>
    record.mounts.some(
      mount => mount.name === value || mount.destination === value || mount.source === value,
    ),
  )
  any('network', ({ record }, value) =>
    Object.entries(networkDetails(context, record).endpoints).some(
      ([name, endpoint]) =>
        name === value || (endpoint.networkId !== '' && endpoint.networkId.startsWith(value)),
    ),
  )
  any('publish', ({ record }, value) => portsMatch(Object.keys(record.host.portBindings ?? {}), value))
  any('expose', ({ record }, value) => portsMatch(record.config.exposedPorts ?? [], value))
  const ancestors = ancestorIds(context, valuesOf(filters, 'ancestor'))
  if (ancestors) checks.push(container => ancestors(container))
  for (const value of valuesOf(filters, 'before') ?? []) {
    const { created } = context.store.get(value).record
    checks.push(container => container.record.created < created)
  }
  for (const value of valuesOf(filters, 'since') ?? []) {
    const { created } = context.store.get(value).record
    checks.push(container => container.record.created > created)
  }
  if (booleanOf(filters, 'is-task')) checks.push(() => false)
  return container => checks.every(check => check(container))
}

function oneOf(filters: Filters, key: string, label: string, accepted: string[]): void {
  for (const value of valuesOf(filters, key) ?? []) {
    if (accepted.includes(value)) continue
    throw invalid(
      `invalid filter '${key}=${value}': invalid value for ${label} (${value}): must be one of ${accepted.join(', ')}`,
    )
  }
}

function safeTest(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern).test(text)
  } catch {
    return text.includes(pattern)
  }
}

/** `80`, `80/udp`, `80-90/tcp`. */
function portsMatch(ports: string[], wanted: string): boolean {
  const parts = /^(\d+)(?:-(\d+))?(?:\/(\w+))?$/.exec(wanted)
  if (!parts) throw invalid(`invalid filter: invalid port: ${wanted}`)
  const [from, to] = [Number(parts[1]), Number(parts[2] ?? parts[1])]
  return ports.some(port => {
    const [number, protocol] = port.split('/')
    return Number(number) >= from && Number(number) <= to && protocol === (parts[3] ?? 'tcp')
  })
}

/** Containers of an image, or of one that was made on top of it. */
function ancestorIds({ images }: EngineContext, refs: string[] | undefined): Check | undefined {
  if (!refs) return undefined
  const ids = new Set<string>()
  const chains: string[] = []
  for (const ref of refs) {
    try {
      const record = images.resolve(ref)
      ids.add(record.id)
      if (record.image.chain) chains.push(record.image.chain)
    } catch (error) {
      if (!(error instanceof GantryError)) throw error
    }
  }
  return ({ record }) => {
    if (ids.has(record.imageId)) return true
    const own = images.get(record.imageId)?.image.chains ?? []
    return chains.some(chain => own.includes(chain as (typeof own)[number]))
  }
}

async function summarize(
  context: EngineContext,
  container: Container,
  size = false,
): Promise<ContainerSummary> {
  const { record } = container
  const { config, host, state } = record
  const network = networkDetails(context, record)
  const usage = size ? await context.snapshots.usage(container.snapshot) : undefined
  return {
    id: record.id,
    names: [`/${record.name}`],
    image: imageName(context, record.config.image, record.imageId),
    imageId: record.imageId,
    command: [record.path, ...record.args].map(quoteArgument).join(' '),
    created: Math.floor(Date.parse(record.created) / 1000),
    ports: state.status === 'running' || state.status === 'paused' ? portList(network.ports) : [],
    labels: config.labels ?? {},
    state: state.status,
    status: statusText(state),
    networkMode: host.networkMode ?? '',
    ...(host.annotations && { annotations: host.annotations }),
    networks: network.endpoints,
    mounts: record.mounts,
    ...(state.health && {
      health: { status: state.health.status, failingStreak: state.health.failingStreak },
    }),
    ...(usage && { sizeRw: usage.rw, sizeRootFs: usage.rootFs }),
  }
}

/** As written, unless that name now means another image: then the id. */
function imageName({ images }: EngineContext, name: string, id: string): string {
  try {
    return name === '' || images.resolve(name).id === id ? name : id
  } catch {
    return name.startsWith('sha256:') ? name : images.get(id as `${string}:${string}`) ? id : name
  }
}

/** moby: an argument with a space is shown in single quotes. */
function quoteArgument(argument: string): string {
  return argument.includes(' ') ? `'${argument}'` : argument
}

function portList(ports: Record<string, { hostIp: string; hostPort: string }[] | null>): Port[] {
  const list: Port[] = []
  for (const [port, bindings] of Object.entries(ports)) {
    const [number, type = 'tcp'] = port.split('/')
    const common = { privatePort: Number(number), type: type as Port['type'] }
    if (!bindings?.length) list.push(common)
    for (const { hostIp, hostPort } of bindings ?? []) {
      list.push({ ip: hostIp, publicPort: Number(hostPort), ...common })
    }
  }
  return list
}
