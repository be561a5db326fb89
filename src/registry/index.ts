/** The distribution protocol: client ({@link Registries}) and server ({@link RegistryServer}). */
export * from './auth-header.ts'
export * from './types.ts'
