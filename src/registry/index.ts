/** The distribution protocol: client ({@link Registries}) and server ({@link RegistryServer}). */
export * from './auth-header.ts'
export { hostOfServerAddress } from './login.ts'
export { parseManifest } from './manifests.ts'
export { Registries } from './registries.ts'
export { RegistryServer, type RegistryServerOptions } from './server/registry-server.ts'
export * from './types.ts'
