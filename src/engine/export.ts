/** `docker export`. */
import type { Readable } from 'node:stream'
import { notImplemented } from '../errors.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'

export async function exportContainer(_c: EngineContext, _k: Container): Promise<Readable> {
  throw notImplemented('export is not implemented')
}
