/** Typed system calls. Everything here throws {@link LinuxError}; nothing here knows what a container is. */
export * from './bpf.ts'
export * from './error.ts'
export * from './file.ts'
export * from './mount.ts'
export * from './namespace.ts'
export { buildFolder } from './native.ts'
export * from './process.ts'
export * from './socket.ts'
