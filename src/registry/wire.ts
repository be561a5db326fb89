/** What all conversations with registries share: connections, endpoints, tokens. */
import type { Wire } from './connection.ts'
import { Endpoints } from './endpoints.ts'
import { TokenCache } from './tokens.ts'
import { Transport, type TransportOptions } from './transport.ts'
import type { RegistryConfig } from './types.ts'

export function createWire(config: RegistryConfig, options: TransportOptions = {}): Wire {
  const transport = new Transport({
    ...(config.environment && { environment: config.environment }),
    ...options,
  })
  const endpoints = new Endpoints(config)
  return { transport, endpoints, tokens: new TokenCache(transport, endpoints) }
}
