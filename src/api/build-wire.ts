/** The query of `POST /build` as a {@link BuildRequest}. */
import type { BuildRequest } from '../build/index.ts'
import { parsePlatform } from '../build/index.ts'
import { invalid, notImplemented } from '../errors.ts'
import type { RegistryAuth } from '../registry/types.ts'
import type { Call } from './call.ts'

/** Everything but where the context comes from. */
export function buildRequest(call: Call): Omit<BuildRequest, 'context'> {
  const { query } = call
  if (query.flag('squash'))
    throw notImplemented('squash is only supported with the experimental mode of other engines')
  const dockerfile = query.text('dockerfile')
  const target = query.text('target')
  const platform = query.text('platform')
  const cgroupParent = query.text('cgroupparent')
  const shmSize = query.integer('shmsize')
  const network = networkMode(query.text('networkmode'))
  const auths = registryAuths(call)
  const id = query.text('buildid')
  return {
    ...(id && { id }),
    ...(dockerfile && { dockerfile }),
    ...(target && { target }),
    ...(platform && { platforms: platform.split(',').map(parsePlatform) }),
    ...(cgroupParent && { cgroupParent }),
    ...(shmSize && { shmSize }),
    buildArgs: stringMap(query.json<Record<string, string | null>>('buildargs')),
    labels: stringMap(query.json<Record<string, string>>('labels')),
    noCache: query.flag('nocache'),
    pull: query.flag('pull'),
    cacheFrom: (query.json<string[]>('cachefrom') ?? []).map(ref => ({
      type: 'registry',
      attributes: { ref },
    })),
    network,
    extraHosts: query.all('extrahosts').flatMap(hosts => hosts.split(',')),
    ulimits: ulimits(query.json('ulimits')),
    limits: {
      ...number('memory', query.integer('memory')),
      ...number('memorySwap', query.integer('memswap')),
      ...number('cpuShares', query.integer('cpushares')),
      ...number('cpuPeriod', query.integer('cpuperiod')),
      ...number('cpuQuota', query.integer('cpuquota')),
      ...(query.text('cpusetcpus') && { cpusetCpus: query.text('cpusetcpus')! }),
      ...(query.text('cpusetmems') && { cpusetMems: query.text('cpusetmems')! }),
    },
    outputs: [{ type: 'image', names: query.all('t').filter(Boolean) }],
    auth: async host =>
      auths[host] ?? (host === 'docker.io' ? auths['https://index.docker.io/v1/'] : undefined),
    signal: call.signal,
  }
}

const number = (name: string, value: number | undefined) => (value ? { [name]: value } : {})

function stringMap(given: Record<string, string | null> | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(given ?? {}).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  )
}

function networkMode(text: string | undefined): 'default' | 'none' | 'host' {
  if (text === undefined || text === 'default' || text === 'bridge') return 'default'
  if (text === 'none' || text === 'host') return text
  throw invalid(`network mode ${JSON.stringify(text)} not supported by the builder`)
}

function ulimits(given: unknown): NonNullable<BuildRequest['ulimits']> {
  if (!Array.isArray(given)) return []
  return given.map((one: { Name: string; Soft: number; Hard: number }) => ({
    name: one.Name,
    soft: one.Soft,
    hard: one.Hard,
  }))
}

interface WireAuth {
  username?: string
  password?: string
  identitytoken?: string
  registrytoken?: string
  serveraddress?: string
}

/** `X-Registry-Config`: credentials by host. */
function registryAuths(call: Call): Record<string, RegistryAuth> {
  const header = call.req.headers['x-registry-config']
  if (typeof header !== 'string' || header === '') return {}
  let given: Record<string, WireAuth>
  try {
    given = JSON.parse(Buffer.from(header, 'base64').toString('utf8')) as Record<string, WireAuth>
  } catch {
    return {}
  }
  return Object.fromEntries(
    Object.entries(given).map(([host, auth]) => [
      host,
      {
        ...(auth.username && { username: auth.username }),
        ...(auth.password && { password: auth.password }),
        ...(auth.identitytoken && { identityToken: auth.identitytoken }),
        ...(auth.registrytoken && { registryToken: auth.registrytoken }),
        ...(auth.serveraddress && { serverAddress: auth.serveraddress }),
      },
    ]),
  )
}
