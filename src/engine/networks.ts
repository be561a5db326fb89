/** Networks, as clients of the engine see them. */
import { notFound, notImplemented } from '../errors.ts'
import type { Filters, PruneReport } from './results.ts'
import type { EndpointSpec } from './types.ts'

export interface NetworkSpec {
  name: string
  driver?: string
  scope?: string
  internal?: boolean
  attachable?: boolean
  ingress?: boolean
  configOnly?: boolean
  configFrom?: string
  enableIpv4?: boolean
  enableIpv6?: boolean
  ipam?: {
    driver?: string
    options?: Record<string, string>
    config: {
      subnet?: string
      ipRange?: string
      gateway?: string
      auxiliaryAddresses?: Record<string, string>
    }[]
  }
  options?: Record<string, string>
  labels?: Record<string, string>
}

export interface NetworkInfo {
  id: string
  name: string
  /** RFC 3339. */
  created: string
  scope: string
  driver: string
  enableIpv4: boolean
  enableIpv6: boolean
  ipam: {
    driver: string
    options: Record<string, string> | null
    config:
      | { subnet?: string; ipRange?: string; gateway?: string; auxiliaryAddresses?: Record<string, string> }[]
      | null
  }
  internal: boolean
  attachable: boolean
  ingress: boolean
  configFrom: string
  configOnly: boolean
  options: Record<string, string>
  labels: Record<string, string>
  /** By container id; only those that run. */
  containers: Record<
    string,
    { name: string; endpointId: string; macAddress: string; ipv4Address: string; ipv6Address: string }
  >
}

export class EngineNetworks {
  async create(_spec: NetworkSpec): Promise<{ id: string; warning: string }> {
    throw notImplemented('network create is not implemented')
  }

  async list(_filters: Filters = {}): Promise<NetworkInfo[]> {
    return []
  }

  async inspect(ref: string): Promise<NetworkInfo> {
    throw notFound(`network ${ref} not found`)
  }

  async remove(ref: string): Promise<void> {
    throw notFound(`network ${ref} not found`)
  }

  async prune(_filters: Filters = {}): Promise<PruneReport> {
    return { deleted: [], spaceReclaimed: 0 }
  }

  async connect(ref: string, _container: string, _endpoint: EndpointSpec = {}): Promise<void> {
    throw notFound(`network ${ref} not found`)
  }

  async disconnect(ref: string, _container: string, _force = false): Promise<void> {
    throw notFound(`network ${ref} not found`)
  }
}
