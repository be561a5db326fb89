/**
 * Making the host what is written, whatever a crash, a reboot or another program left: run once at every start.
 */
import { hasCode, messageOf } from '../errors.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../linux/index.ts'
import { ContainerNetwork } from './container.ts'
import { bridgeOptions } from './drivers/bridge.ts'
import { guardTable } from './guard.ts'
import { parseCidr } from './ip.ts'
import type { Live } from './live.ts'
import { Namespace } from './namespace.ts'
import { deleteLink } from './netlink/link.ts'
import { decode } from './netlink/message.ts'
import { readTableChange } from './netlink/nft-dump.ts'
import { predefine } from './predefined.ts'
import type { NetworkRecord } from './record.ts'
import type { StoredSandbox } from './sandbox-store.ts'
import type { RunningContainer } from './types.ts'

export async function recover(live: Live, running: readonly RunningContainer[]): Promise<void> {
  for (const [version, forwarding] of live.store.loadGuards()) live.rules.guards.set(version, forwarding)
  if (live.config.ipForward ?? true) live.allowForwarding(4)
  await restoreNetworks(live)
  for (const one of running) restoreContainer(live, one)
  const alive = new Set(running.map(({ container }) => container.id))
  for (const id of live.store.containers()) if (!alive.has(id)) live.store.delete(id)
  removeStrays(live)
  live.rules.rebuild()
  warnOfOthers(live)
}

/** What another program drops, no rule of ours can let through. */
function warnOfOthers(live: Live): void {
  for (const { table, chain } of live.host.droppingForwards()) {
    live.logger.warn(
      'another program drops forwarded packets by default: containers reach no other host, and are reached by none, unless its rules let them',
      { table, chain },
    )
  }
}

/** User-defined networks first: their subnets are fixed, the default bridge's may give way. */
async function restoreNetworks(live: Live): Promise<void> {
  const known = live.catalog.load()
  for (const record of known.filter(one => !one.predefined)) {
    try {
      const subnets = live.catalog.resume(record)
      if (!record.configOnly) live.drivers.get(record.driver)?.create(record)
      live.catalog.add(record, subnets)
    } catch (error) {
      live.logger.error('a network could not be restored', { network: record.name, error: messageOf(error) })
    }
  }
  const former = known.filter(one => one.predefined).map(one => ({ ...one }))
  const three = predefine(live.config, known, live.host, live.bridges)
  for (const record of three) await addPredefined(live, record, former)
  const dropped = known.find(one => one.predefined && !three.some(record => record.id === one.id))
  if (dropped) {
    await live.bridges.remove(dropped)
    live.catalog.remove(live.catalog.add(dropped, []))
  }
}

async function addPredefined(
  live: Live,
  record: NetworkRecord,
  former: readonly NetworkRecord[],
): Promise<void> {
  if (record.driver !== 'bridge') {
    live.catalog.add(record, [])
    return
  }
  const before = former.find(one => one.id === record.id)
  if (before && before.hostInterface !== record.hostInterface) {
    await live.bridges.remove(before)
    delete record.adopted
  }
  const asked = record.ipamConfig
  let subnets: ReturnType<Live['catalog']['assign']>
  try {
    subnets = live.catalog.assign(record, { gateway: true })
  } catch (error) {
    // The subnet of an earlier life was given away meanwhile; one that daemon.json names is not negotiable.
    if (live.config.bip || live.config.fixedCidr || !asked) throw error
    record.ipamConfig = null
    subnets = live.catalog.assign(record, { gateway: true })
  }
  live.bridges.create(record)
  if (record.enableIpv6) live.allowForwarding(6)
  live.catalog.add(record, subnets)
}

/** Take a running container's network back: its addresses, its ports, its names. */
function restoreContainer(live: Live, { container, pid }: RunningContainer): void {
  const stored = live.store.load(container.id)
  if (!stored) {
    live.logger.warn('nothing is known of the network of a running container', { container: container.id })
    return
  }
  const onHost = live.wanted(container).some(({ ref }) => live.catalog.lookup(ref)?.record.driver === 'host')
  let namespace: Namespace | undefined
  try {
    namespace = onHost ? undefined : Namespace.ofProcess(pid)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ESRCH')) throw error
    return // it ended while we looked
  }
  const restored = new ContainerNetwork(container, namespace, stored.id)
  restored.pid = pid
  restored.upstreams = stored.upstreams
  restored.resolvConf = stored.resolvConf
  live.containers.set(container.id, restored)
  const report = (what: string) => (error: unknown) =>
    live.logger.error(what, { container: container.id, error: messageOf(error) })
  attempt(() => resumeEndpoints(live, restored, stored), report('an endpoint could not be restored'))
  attempt(
    () => live.published.reopen(restored, stored.ports, true),
    report('a published port could not be restored'),
  )
  for (const member of restored.members) live.names.add(restored, member)
  live.names.assumeServed(restored)
  if (live.files.servesNames(restored)) {
    attempt(() => live.names.serve(restored), report('names could not be served again'))
  }
}

function resumeEndpoints(live: Live, restored: ContainerNetwork, stored: StoredSandbox): void {
  for (const { ipv4, ipv6, hostInterface, ...rest } of stored.endpoints) {
    const network = live.catalog.get(rest.networkId)
    if (!network) continue
    restored.resume(network, live.driverOf(network), {
      ...rest,
      hostInterface,
      ipv4: parseCidr(ipv4),
      ipv6: parseCidr(ipv6),
    })
    reconnectPort(live, network.record, hostInterface)
  }
  restored.assumeRoutes()
}

/** A bridge that had to be made anew has lost its ports. */
function reconnectPort(live: Live, record: NetworkRecord, hostInterface: string | undefined): void {
  if (record.driver !== 'bridge' || hostInterface === undefined) return
  live.bridges.adoptPort(bridgeOptions(record).name, hostInterface)
}

/** Ports of our bridges that belong to no container that runs. */
function removeStrays(live: Live): void {
  const ours = new Set(
    [...live.containers.values()].flatMap(one =>
      one.members.flatMap(({ endpoint }) => endpoint.hostInterface ?? []),
    ),
  )
  const links = live.host.links()
  const bridges = new Set(
    live.catalog
      .all()
      .filter(({ record }) => record.driver === 'bridge' && !record.adopted && !record.configOnly)
      .flatMap(({ record }) => links.find(link => link.name === bridgeOptions(record).name)?.index ?? []),
  )
  const strays = links.filter(
    link =>
      link.master !== undefined &&
      bridges.has(link.master) &&
      /^veth[0-9a-f]{7}$/.test(link.name) &&
      !ours.has(link.name),
  )
  for (const { error } of live.host.route.attempt(strays.map(link => deleteLink(link.index)))) {
    if (error && error.code !== 'ENODEV')
      live.logger.warn('a stray interface could not be removed', { error: error.message })
  }
  live.bridges.removeStrays(
    links,
    live.catalog.all().map(({ record }) => record),
  )
}

function attempt(work: () => void, report: (error: unknown) => void): void {
  try {
    work()
  } catch (error) {
    report(error)
  }
}

const NFNLGRP_NFTABLES = 7
const WATCH_MS = 500

/** Rules that someone else removes (`nft flush ruleset`) are back within a second. Answers how to stop. */
export function watchRules(live: Live): () => void {
  const socket = new NetlinkSocket(NETLINK_NETFILTER)
  socket.subscribe(NFNLGRP_NFTABLES)
  const ours = [live.rules.set.table, live.rules.isolation.table, guardTable]
  let lost = false
  const look = () => {
    try {
      for (let bytes = socket.recv(0); bytes; bytes = socket.recv(0)) {
        for (const message of decode(bytes)) {
          const change = readTableChange(message)
          if (!change || !ours.some(one => one.table === change.table && one.family === change.family))
            continue
          lost = change.change === 'deleted'
        }
      }
    } catch (error) {
      if (!hasCode(error, 'ENOBUFS')) throw error
      lost = true // too much happened to be told of each
    }
    if (!lost) return
    lost = false
    if (!live.rules.written) return
    attempt(
      () => live.rules.rebuild(),
      error => live.logger.error('packet rules could not be written', { error: messageOf(error) }),
    )
  }
  const timer = setInterval(look, WATCH_MS)
  timer.unref()
  return () => {
    clearInterval(timer)
    socket.close()
  }
}
