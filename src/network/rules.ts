/** The packet rules as they have to be now, and the writing of changes; whatever state they are found in. */
import { hasCode } from '../errors.ts'
import type { Logger } from '../logger.ts'
import type { HostNetwork } from './host.ts'
import { type LinkRule, PortIsolation } from './isolation.ts'
import type { Request } from './netlink/message.ts'
import { getTable } from './netlink/nft-dump.ts'
import { type BridgeRules, type PortRule, Ruleset } from './ruleset.ts'

/** All that the tables hold. */
export interface RuleState {
  bridges: BridgeRules[]
  ports: PortRule[]
  /** Addresses of containers that published ports lead to. */
  reflected: string[]
  /** Names of bridge ports on networks without `icc`. */
  isolated: string[]
  links: LinkRule[]
  /** Whether a network without `icc` exists. */
  restricted: boolean
}

export class Rules {
  readonly set: Ruleset
  readonly isolation: PortIsolation
  readonly #host: HostNetwork
  readonly #logger: Logger
  readonly #state: () => RuleState
  /** IP versions that the host forwards only because we made it, with the interfaces that did before. */
  readonly guards = new Map<4 | 6, readonly string[]>()
  #written = false

  /** `state` tells what has to be when all is written anew. */
  constructor(host: HostNetwork, table: string, logger: Logger, state: () => RuleState) {
    this.#host = host
    this.#logger = logger
    this.#state = state
    this.set = new Ruleset(table)
    this.isolation = new PortIsolation(table)
  }

  /** Everything, in one transaction: nobody sees the host without rules. */
  rebuild(): void {
    const { bridges, ports, reflected, isolated, links, restricted } = this.#state()
    this.#written = bridges.length > 0 || this.guards.size > 0
    const requests = this.#written
      ? this.set.rebuild(bridges, ports, reflected, this.guards)
      : this.set.clear()
    this.#host.rules([...requests, ...this.#isolation(restricted, isolated, links)])
  }

  /** Its hook costs every packet on every bridge: it is there only while a network wants it, and kernels without it serve others. */
  #isolation(restricted: boolean, isolated: string[], links: LinkRule[]): Request[] {
    if (restricted) return this.isolation.rebuild(isolated, links)
    return this.#host.hasRule(getTable(this.isolation.table)) ? this.isolation.clear() : []
  }

  /** Whether there is anything to rule. */
  get written(): boolean {
    return this.#written
  }

  /** One change of a state that already says so. Where the tables are not as remembered, all is written anew. */
  change(requests: readonly Request[]): void {
    if (requests.length === 0) return
    try {
      if (this.#written) this.#host.rules(requests)
      else this.rebuild()
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'EEXIST')) throw error
      this.#logger.warn('packet rules were changed by someone else; writing them anew', {
        error: String(error),
      })
      this.rebuild()
    }
  }
}
