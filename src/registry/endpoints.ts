/** Which URLs stand for a registry host, in which order, and what TLS to each needs. */
import * as fs from 'node:fs'
import { BlockList, isIP } from 'node:net'
import * as path from 'node:path'
import * as tls from 'node:tls'
import { hasCode, invalid } from '../errors.ts'
import type { TlsOptions } from './transport.ts'
import type { RegistryConfig } from './types.ts'

/** The domain of references that name none, and where its registry and its older index really are. */
export const HUB = 'docker.io'
const HUB_REGISTRY = 'registry-1.docker.io'

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
  readonly #tls = new Map<string, TlsOptions>()

  constructor(config: RegistryConfig = {}) {
    this.#mirrors = (config.mirrors ?? []).map(parseMirror)
    this.#insecure = new InsecureRegistries(config.insecureRegistries ?? [])
    this.#certsDirs = config.certsDirs ?? ['/etc/docker/certs.d']
  }

  /** For reading: mirrors first where the host is Docker Hub. */
  forPull(host: string): Endpoint[] {
    const mirrors =
      host === HUB ? this.#mirrors.map(url => ({ url, tls: this.tlsFor(url), mirror: true })) : []
    return [...mirrors, ...this.forPush(host)]
  }

  /** For writing: never a mirror. An insecure host is tried with TLS, then without. */
  forPush(host: string): Endpoint[] {
    const name = host === HUB ? HUB_REGISTRY : host
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
    const host = url.host
    let options = this.#tls.get(host)
    if (!options) {
      options = { ...this.#certificates(host), rejectUnauthorized: !this.isInsecure(host) }
      this.#tls.set(host, options)
    }
    return options
  }

  #certificates(host: string): TlsOptions {
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

/** Names and address ranges that need no TLS; the loopback addresses always. */
class InsecureRegistries {
  readonly #names = new Set<string>()
  readonly #ranges = new BlockList()

  constructor(entries: string[]) {
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

  has(host: string): boolean {
    if (this.#names.has(host.toLowerCase())) return true
    const { hostname } = new URL(`http://${host}`)
    const bare = hostname.replace(/^\[|\]$/g, '')
    if (bare === 'localhost' || this.#names.has(bare)) return true
    const family = isIP(bare)
    return family !== 0 && this.#ranges.check(bare, family === 4 ? 'ipv4' : 'ipv6')
  }
}
