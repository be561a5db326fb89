/** /etc/hosts, /etc/resolv.conf and /etc/hostname of a container, to the letter as Docker writes them. */

import * as fs from 'node:fs'
import { hasCode, invalid } from '../errors.ts'
import { parseIp } from './ip.ts'

const HOSTS_HEAD = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`

export interface HostsEntry {
  address: string
  names: string[]
}

/** Lines in their order: what everyone has, `--add-host`, links, the container itself. */
export function hostsFile(entries: readonly HostsEntry[], head = HOSTS_HEAD): string {
  return head + entries.map(({ address, names }) => `${address}\t${names.join(' ')}\n`).join('')
}

/** Lines of `gone` addresses leave, `own` ones that are missing come at the end. All else is a person's. */
export function editHosts(current: string, own: readonly HostsEntry[], gone: readonly string[]): string {
  const kept = current
    .split('\n')
    .filter(line => !gone.includes(line.split(/\s/)[0]!))
    .join('\n')
  const present = new Set(kept.split('\n').map(line => line.split(/\s/)[0]))
  return hostsFile(
    own.filter(({ address }) => !present.has(address)),
    kept === '' || kept.endsWith('\n') ? kept : `${kept}\n`,
  )
}

/** Each entry takes the place of the line that has the same names. A person's lines stay. */
export function replaceNamed(current: string, entries: readonly HostsEntry[]): string {
  const byNames = new Map(entries.map(({ address, names }) => [names.join(' '), address]))
  return current
    .split('\n')
    .map(line => {
      const [, ...names] = line.split(/\s+/)
      const address = byNames.get(names.join(' '))
      return address === undefined ? line : `${address}\t${names.join(' ')}`
    })
    .join('\n')
}

/** What a container calls itself in its own hosts file. */
export function ownNames(hostname: string, domainname: string | undefined): string[] {
  const [first = hostname] = hostname.split('.')
  if (domainname) return [`${hostname}.${domainname}`, hostname]
  return hostname.includes('.') ? [hostname, first] : [hostname]
}

/** `name:address` or `name=address` of `--add-host`; `host-gateway` becomes each of `gateways`. */
export function extraHosts(texts: readonly string[], gateways: readonly string[]): HostsEntry[] {
  return texts.flatMap(text => {
    const at = text.search(/[:=]/)
    if (at <= 0) throw invalid(`bad format for add-host: ${JSON.stringify(text)}`)
    const name = text.slice(0, at)
    const value = text.slice(at + 1).replace(/^\[(.*)\]$/, '$1')
    if (value !== 'host-gateway') return [{ address: value, names: [name] }]
    if (gateways.length === 0) throw invalid('unable to derive the IP value for host-gateway')
    return gateways.map(address => ({ address, names: [name] }))
  })
}

/** Throws what Docker says of `--add-host` and `--dns` that lead nowhere. */
export function checkNames(settings: { extraHosts?: readonly string[]; dns?: readonly string[] }): void {
  for (const { address } of extraHosts(settings.extraHosts ?? [], ['0.0.0.0'])) {
    if (!parseIp(address)) throw invalid(`invalid IP address in add-host: ${JSON.stringify(address)}`)
  }
  for (const server of settings.dns ?? []) {
    if (!parseIp(server)) {
      throw invalid(
        `bad nameserver address ${server}: ParseAddr(${JSON.stringify(server)}): unable to parse IP`,
      )
    }
  }
}

/** A resolv.conf, read. */
export interface ResolvConf {
  nameservers: string[]
  search: string[]
  options: string[]
}

/** resolv.conf(5): the last `search` or `domain` counts. */
export function parseResolvConf(text: string): ResolvConf {
  const result: ResolvConf = { nameservers: [], search: [], options: [] }
  for (const line of text.split('\n')) {
    const [key, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (key === 'nameserver' && words[0]) result.nameservers.push(words[0])
    else if (key === 'search' || key === 'domain') result.search = words
    else if (key === 'options') result.options.push(...words)
  }
  return result
}

const HOST_FILE = '/etc/resolv.conf'
/** Where systemd-resolved keeps the servers behind its own on 127.0.0.53. */
const RESOLVED_FILE = '/run/systemd/resolve/resolv.conf'

/** The host's configuration, and the file that it is from. */
function hostResolvConf(): { file: string; conf: ResolvConf } {
  const conf = readResolvConf(HOST_FILE)
  if (conf.nameservers.length === 1 && conf.nameservers[0] === '127.0.0.53') {
    const behind = readResolvConf(RESOLVED_FILE)
    if (behind.nameservers.length > 0) return { file: RESOLVED_FILE, conf: behind }
  }
  return { file: HOST_FILE, conf }
}

function readResolvConf(file: string): ResolvConf {
  try {
    return parseResolvConf(fs.readFileSync(file, 'utf8'))
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EACCES')) return parseResolvConf('')
    throw error
  }
}

/** What replaces the host's words, from the container or else from daemon.json. Absent: nothing does. */
export interface ResolvOverrides {
  nameservers?: string[]
  search?: string[]
  options?: string[]
}

/** A resolver to forward to, and whether it is reached from the host's namespace rather than the container's. */
export interface Upstream {
  address: string
  fromHost: boolean
}

export interface ResolvResult {
  text: string
  /** Empty but for `internal`. */
  upstreams: Upstream[]
  search: string[]
}

const FALLBACK4 = ['8.8.8.8', '8.8.4.4']
const FALLBACK6 = ['2001:4860:4860::8888', '2001:4860:4860::8844']
const HEAD = `# Generated by Docker Engine.
# This file can be edited; Docker Engine will not make further changes once it
# has been modified.

`

/**
 * `internal`: the container asks our resolver on 127.0.0.11. `legacy`: it asks the host's resolvers itself, without those that
 * only the host can reach. `host`: as the host. `ipv6`: whether the container can reach IPv6 resolvers.
 */
export function resolvConf(
  mode: 'internal' | 'legacy' | 'host',
  overrides: ResolvOverrides,
  options: { ipv6: boolean; host?: { file: string; conf: ResolvConf } },
): ResolvResult {
  const { file, conf } = options.host ?? hostResolvConf()
  const search = (overrides.search ?? conf.search).filter(domain => domain !== '.')
  const given = overrides.nameservers
  let servers = given ?? conf.nameservers
  let fallback = false
  if (mode === 'legacy' && !given) {
    servers = servers.filter(server => !isLoopback(server) && (options.ipv6 || parseIp(server)?.family !== 6))
  }
  if (servers.length === 0 && mode !== 'host') {
    servers = options.ipv6 ? [...FALLBACK4, ...FALLBACK6] : FALLBACK4
    fallback = true
  }
  const resolverOptions = [...(overrides.options ?? conf.options)]
  const named = Object.entries({
    nameservers: overrides.nameservers,
    search: overrides.search,
    options: overrides.options,
  }).flatMap(([name, value]) => (value ? [name] : []))
  const fromHost = !given && !fallback
  const upstreams = mode === 'internal' ? servers.map(address => ({ address, fromHost })) : []
  const ndots = resolverOptions.find(option => option.startsWith('ndots:'))
  if (mode === 'internal' && !ndots) resolverOptions.push('ndots:0')
  const shown = mode === 'internal' ? ['127.0.0.11'] : servers
  const suffix = { internal: ' (internal resolver)', legacy: ' (legacy)', host: '' }[mode]
  const lines = [
    ...shown.map(server => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...(resolverOptions.length > 0 ? [`options ${resolverOptions.join(' ')}`] : []),
    '',
    `# Based on host file: '${file}'${suffix}`,
    ...(fallback ? ['# Used default nameservers.'] : []),
    ...(mode === 'internal'
      ? [`# ExtServers: [${servers.map(server => (fromHost ? `host(${server})` : server)).join(' ')}]`]
      : []),
    `# Overrides: [${named.join(' ')}]`,
    ...(mode === 'internal'
      ? [`# Option ndots from: ${ndots ? (overrides.options ? 'override' : 'host') : 'internal'}`]
      : []),
  ]
  return { text: `${HEAD}${lines.join('\n')}\n`, upstreams, search }
}

const isLoopback = (address: string): boolean => address.startsWith('127.') || address === '::1'
