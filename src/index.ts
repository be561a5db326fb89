/** Gantry as a library: open an {@link Engine} and use it; no daemon is needed. */
export type { EngineConfig } from './engine/config.ts'
export { Engine, type EngineOptions } from './engine/engine.ts'
export type * from './engine/results.ts'
export type * from './engine/types.ts'
export { type ErrorKind, GantryError } from './errors.ts'
export type * from './image/types.ts'
