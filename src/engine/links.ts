/** `--link`: a container knows another by an alias. A link is kept as `id:alias`, so that a rename changes nothing. */
import { conflict, invalid, notFound } from '../errors.ts'
import type { EngineContext } from './context.ts'
import type { ContainerRecord } from './types.ts'

type Store = Pick<EngineContext, 'store'>

/** `ref:alias`; without an alias it is the reference's last part. */
export function parseLink(link: string): { ref: string; alias: string } {
  const [ref = '', alias] = link.split(':')
  return { ref, alias: (alias || ref).replace(/^.*\//, '') }
}

/** From `name:alias` to `id:alias`. Raises invalid for a container that is not there, or that has the host's network. */
export function resolveLinks({ store }: Store, links: readonly string[]): string[] {
  return links.map(link => {
    const { ref, alias } = parseLink(link)
    const target = store.find(ref)
    if (!target) throw invalid(`could not get container for ${ref}: No such container: ${ref}`)
    if (target.record.host.networkMode === 'host') {
      throw invalid(
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
      )
    }
    return `${target.id}:${alias}`
  })
}

/** What could not be linked at a start on the default bridge. moby daemon/container_operations_unix.go, setupLinkedContainers */
export function checkLinks({ store }: Store, { name, host }: ContainerRecord): void {
  if ((host.networkMode ?? 'bridge') !== 'bridge') return
  for (const link of host.links ?? []) {
    const { ref, alias } = parseLink(link)
    const target = store.find(ref)
    if (!target) continue
    const { record } = target
    if (!target.isAlive) {
      throw conflict(`Cannot link to a non running container: /${record.name} AS /${name}/${alias}`)
    }
    const { networkMode = 'bridge' } = record.host
    if (networkMode !== 'bridge' && !record.networks['bridge']) {
      throw conflict(`container ${record.id} not attached to default bridge network`)
    }
  }
}

/** As inspect shows them: `/child:/parent/alias`. null where there are none. */
export function describeLinks({ store }: Store, { name, host }: ContainerRecord): string[] | undefined {
  const links = (host.links ?? []).flatMap(link => {
    const { ref, alias } = parseLink(link)
    const target = store.find(ref)
    return target ? [`/${target.record.name}:/${name}/${alias}`] : []
  })
  return links.length > 0 ? links.sort() : undefined
}

/** `rm --link parent/alias`. Raises notFound where there is no such link. */
export function removeLink({ store }: Store, path: string): void {
  const [parent = '', alias] = path.replace(/^\//, '').split('/')
  const container = alias ? store.find(parent) : undefined
  if (!container) throw notFound(`Could not get parent container for link ${path}`)
  const { host } = container.record
  host.links = (host.links ?? []).filter(link => parseLink(link).alias !== alias)
  store.write(container.record, true)
}
