/** Which URLs stand for a registry host, in which order, and what TLS to each needs. */
import * as dns from 'node:dns/promises'
import * as fs from 'node:fs'
import { BlockList, isIP } from 'node:net'
import * as path from 'node:path'
import * as tls from 'node:tls'
import { hasCode, invalid } from '../errors.ts'
import type { TlsOptions } from './transport.ts'
import type { RegistryConfig } from './types.ts'

/** The domain of references that name none, and where its registry and its older index really are. */
export const HUB = 'docker.io'
export const HUB_REGISTRY = 'registry-1.docker.io'

export interface Endpoint {
  /** With a trailing slash; a mirror's may have a path. */
  url: URL
  tls: TlsOptions
  /** A mirror's failure is no failure: the next endpoint is asked. */
  mirror: boolean
}

export class Endpoints {
  readonly #mirrors: URL[]
  readonly #insecure: InsecureRegistries
  readonly #certsDirs: string[]
  readonly #certificates = new Map<string, TlsOptions>()

  /** `lookUp` is for tests: the addresses of a name. */
  constructor(config: RegistryConfig = {}, lookUp?: LookUp) {
    this.#mirrors = (config.mirrors ?? []).map(parseMirror)
    this.#insecure = new InsecureRegistries(config.insecureRegistries ?? [], lookUp)
    this.#certsDirs = config.certsDirs ?? ['/etc/docker/certs.d']
  }

  /** For reading: mirrors first where the host is Docker Hub. */
  async forPull(host: string): Promise<Endpoint[]> {
    const mirrors =
      host === HUB ? this.#mirrors.map(url => ({ url, tls: this.tlsFor(url), mirror: true })) : []
    return [...mirrors, ...(await this.forPush(host))]
  }

  /** For writing: never a mirror. An insecure host is tried with TLS, then without. */
  async forPush(host: string): Promise<Endpoint[]> {
    const name = host === HUB ? HUB_REGISTRY : host
    if (host !== HUB) await this.#insecure.learn(name)
    const schemes = this.isInsecure(name) ? ['https', 'http'] : ['https']
    return schemes.map(scheme => {
      const url = new URL(`${scheme}://${name}/`)
      return { url, tls: this.tlsFor(url), mirror: false }
    })
  }

  isInsecure(host: string): boolean {
    return this.#insecure.has(host)
  }

  /** Throws `invalid` on a client certificate without a key, or a key without a certificate. */
  tlsFor(url: URL): TlsOptions {
    if (url.protocol !== 'https:') return {}
    const { host } = url
    const known = this.#certificates.get(host)
    const certificates = known ?? this.#readCertificates(host)
    if (known === undefined) this.#certificates.set(host, certificates)
    return { ...certificates, rejectUnauthorized: !this.isInsecure(host) }
  }

  #readCertificates(host: string): TlsOptions {
    const options: Required<Pick<TlsOptions, 'ca' | 'cert' | 'key'>> = { ca: [], cert: [], key: [] }
    for (const folder of this.#certsDirs) {
      const place = path.join(folder, host)
      const names = readFolder(place)
      for (const name of names) {
        const file = path.join(place, name)
        const { ext, name: stem } = path.parse(name)
        if (ext === '.crt') options.ca.push(fs.readFileSync(file, 'utf8'))
        if (ext === '.cert') {
          if (!names.includes(`${stem}.key`)) {
            throw invalid(
              `missing key ${stem}.key for client certificate ${name}. CA certificates must use the extension .crt`,
            )
          }
          options.cert.push(fs.readFileSync(file, 'utf8'))
        }
        if (ext === '.key') {
          if (!names.includes(`${stem}.cert`)) {
            throw invalid(`missing client certificate ${stem}.cert for key ${name}`)
          }
          options.key.push(fs.readFileSync(file, 'utf8'))
        }
      }
    }
    return {
      ca: [...authorities(), ...options.ca],
      ...(options.cert.length > 0 && { cert: options.cert, key: options.key }),
    }
  }
}

function readFolder(folder: string): string[] {
  try {
    return fs.readdirSync(folder).sort()
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

let trusted: string[] | undefined

/** The host's own authorities and Node's: what Go's clients trust, and hosts without a store of their own. */
function authorities(): string[] {
  trusted ??= [...new Set([...tls.getCACertificates('system'), ...tls.getCACertificates('default')])]
  return trusted
}

/** moby: `ValidateMirror`. */
function parseMirror(text: string): URL {
  const url = URL.parse(text)
  if (!url) throw invalid(`invalid mirror: ${JSON.stringify(text)} is not a valid URI`)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw invalid(
      `invalid mirror: unsupported scheme ${JSON.stringify(url.protocol.slice(0, -1))} in ${JSON.stringify(text)}`,
    )
  }
  if (url.search || url.hash)
    throw invalid(`invalid mirror: query or fragment at end of the URI ${JSON.stringify(text)}`)
  if (url.username || url.password) {
    url.password = url.password && 'xxxxx'
    throw invalid(`invalid mirror: username/password not allowed in URI ${JSON.stringify(url.href)}`)
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

type LookUp = (name: string) => Promise<string[]>

const systemLookUp: LookUp = async name =>
  (await dns.lookup(name, { all: true })).map(({ address }) => address)

/** Milliseconds for which a name's addresses are believed. */
const NAME_LIFETIME = 60_000

/** Names and address ranges that need no TLS; the loopback addresses always. moby: a name counts that leads into a range. */
class InsecureRegistries {
  readonly #names = new Set<string>()
  readonly #ranges = new BlockList()
  /** Names that were looked up, and whether they lead into a range. */
  readonly #learnt = new Map<string, { inside: boolean; until: number }>()
  readonly #lookUp: LookUp

  constructor(entries: string[], lookUp: LookUp = systemLookUp) {
    this.#lookUp = lookUp
    for (const entry of ['127.0.0.0/8', '::1/128', ...entries]) this.#add(entry)
  }

  #add(entry: string): void {
    const [address = '', bits] = entry.split('/')
    const family = isIP(address)
    if (family !== 0 && bits !== undefined) {
      try {
        this.#ranges.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6')
      } catch {
        throw invalid(`insecure registry ${entry} is not valid: invalid CIDR address: ${entry}`)
      }
      return
    }
    if (/^https?:\/\//.test(entry)) {
      throw invalid(`insecure registry ${entry} should not contain '://'`)
    }
    this.#names.add(entry.toLowerCase())
  }

  /** Look up where the name of `host` leads, for {@link has}. One that cannot be looked up leads nowhere. */
  async learn(host: string): Promise<void> {
    const name = bareName(host)
    const known = this.#learnt.get(name)
    if (isIP(name) !== 0 || this.#isNamed(host) || (known && known.until > Date.now())) return
    const addresses = await this.#lookUp(name).catch(() => [])
    const inside = addresses.some(address => this.#isInRange(address))
    this.#learnt.set(name, { inside, until: Date.now() + NAME_LIFETIME })
  }

  has(host: string): boolean {
    const name = bareName(host)
    return this.#isNamed(host) || this.#isInRange(name) || this.#learnt.get(name)?.inside === true
  }

  #isNamed(host: string): boolean {
    const name = bareName(host)
    return name === 'localhost' || this.#names.has(name) || this.#names.has(host.toLowerCase())
  }

  #isInRange(address: string): boolean {
    const family = isIP(address)
    return family !== 0 && this.#ranges.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
}

/** Without port and brackets. */
function bareName(host: string): string {
  return new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '')
}
