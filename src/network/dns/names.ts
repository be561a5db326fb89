/** Which name is whose, network by network. What is taken out stops resolving with the next question. */

export interface Named {
  networkId: string
  /** Without dots at the end; case does not matter. */
  names: readonly string[]
  ipv4: string | undefined
  ipv6: string | undefined
}

/** One network, as the container that asks sees it. */
export interface Scope {
  networkId: string
  networkName: string
}

export class NameTable {
  /** By network, by name in lower case. */
  readonly #names = new Map<string, Map<string, Set<Named>>>()
  readonly #addresses = new Map<string, Map<string, Named>>()

  add(entry: Named): void {
    const names = within(this.#names, entry.networkId)
    for (const name of entry.names) {
      const key = name.toLowerCase()
      const bearers = names.get(key)
      if (bearers) bearers.add(entry)
      else names.set(key, new Set([entry]))
    }
    const addresses = within(this.#addresses, entry.networkId)
    for (const address of [entry.ipv4, entry.ipv6]) if (address) addresses.set(address, entry)
  }

  remove(entry: Named): void {
    const names = this.#names.get(entry.networkId)
    for (const name of entry.names) {
      const key = name.toLowerCase()
      const bearers = names?.get(key)
      bearers?.delete(entry)
      if (bearers?.size === 0) names?.delete(key)
    }
    const addresses = this.#addresses.get(entry.networkId)
    for (const address of [entry.ipv4, entry.ipv6]) {
      if (address && addresses?.get(address) === entry) addresses.delete(address)
    }
    if (names?.size === 0) {
      this.#names.delete(entry.networkId)
      this.#addresses.delete(entry.networkId)
    }
  }

  /** Who bears `name` on the first of `scopes` that knows it, in an order that changes. `name.network` looks only there. */
  find(scopes: readonly Scope[], name: string): Named[] {
    const key = name.toLowerCase().replace(/\.$/, '')
    for (const { networkId, networkName } of scopes) {
      const names = this.#names.get(networkId)
      if (!names) continue
      const suffix = `.${networkName.toLowerCase()}`
      const bearers =
        names.get(key) ?? (key.endsWith(suffix) ? names.get(key.slice(0, -suffix.length)) : undefined)
      if (bearers) return shuffled([...bearers])
    }
    return []
  }

  /** The name of an address: `container.network`. */
  reverse(scopes: readonly Scope[], address: string): string | undefined {
    for (const { networkId, networkName } of scopes) {
      const name = this.#addresses.get(networkId)?.get(address)?.names[0]
      if (name !== undefined) return `${name}.${networkName}`
    }
    return undefined
  }
}

function within<T>(maps: Map<string, Map<string, T>>, key: string): Map<string, T> {
  let map = maps.get(key)
  if (!map) maps.set(key, (map = new Map()))
  return map
}

/** Fisher and Yates. */
function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[items[i], items[j]] = [items[j]!, items[i]!]
  }
  return items
}
