/**
 * What the next life of the daemon has to know of a running container's network: one file each in `<exec-root>/network/`.
 * A reboot ends the containers and this folder alike, so nothing here needs to survive a power cut.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, sweepTemporary, writeJsonDurable } from '../durable.ts'
import { hasCode } from '../errors.ts'
import type { ContainerNetwork } from './container.ts'
import { addressOf } from './endpoint.ts'
import type { Upstream } from './files.ts'
import type { PortRequest } from './ports.ts'
import type { EndpointSpec } from './types.ts'

export interface StoredEndpoint {
  id: string
  networkId: string
  spec: EndpointSpec
  /** With prefix length; '' where there is none. */
  ipv4: string
  ipv6: string
  mac: string
  interfaceName: string
  hostInterface?: string
}

export interface StoredSandbox {
  version: 1
  id: string
  endpoints: StoredEndpoint[]
  ports: { request: PortRequest; hostIp: string; hostPort: number }[]
  upstreams: Upstream[]
  resolvConf: string
}

export class SandboxStore {
  readonly #folder: string

  constructor(execRoot: string) {
    this.#folder = path.join(execRoot, 'network')
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    sweepTemporary(this.#folder)
  }

  save(live: ContainerNetwork): void {
    const withPrefix = (net: Parameters<typeof addressOf>[0]) =>
      net ? `${addressOf(net)}/${net.prefix}` : ''
    const stored: StoredSandbox = {
      version: 1,
      id: live.id,
      endpoints: live.members.map(({ endpoint }) => ({
        id: endpoint.id,
        networkId: endpoint.networkId,
        spec: endpoint.spec,
        ipv4: withPrefix(endpoint.ipv4),
        ipv6: withPrefix(endpoint.ipv6),
        mac: endpoint.mac,
        interfaceName: endpoint.interfaceName,
        ...(endpoint.hostInterface === undefined ? {} : { hostInterface: endpoint.hostInterface }),
      })),
      ports: live.publications.map(({ request, hostIp, hostPort }) => ({ request, hostIp, hostPort })),
      upstreams: live.upstreams,
      resolvConf: live.resolvConf,
    }
    writeJsonDurable(this.#file(live.container.id), stored, { sync: false })
  }

  load(containerId: string): StoredSandbox | undefined {
    return readJson<StoredSandbox>(this.#file(containerId))
  }

  delete(containerId: string): void {
    try {
      fs.unlinkSync(this.#file(containerId))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  /** Containers of which something is stored. */
  containers(): string[] {
    return fs.readdirSync(this.#folder).flatMap(name => /^(.+)\.json$/.exec(name)?.[1] ?? [])
  }

  /** IP versions that forward only since this boot's first daemon; with the interfaces that did before. See {@link file://./guard.ts}. */
  loadGuards(): [4 | 6, string[]][] {
    return readJson<[4 | 6, string[]][]>(path.join(this.#folder, 'guards')) ?? []
  }

  saveGuards(guards: ReadonlyMap<4 | 6, readonly string[]>): void {
    writeJsonDurable(path.join(this.#folder, 'guards'), [...guards], { sync: false })
  }

  #file(containerId: string): string {
    return path.join(this.#folder, `${containerId}.json`)
  }
}
