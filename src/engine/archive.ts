/** `docker cp`. */
import type { Readable } from 'node:stream'
import { notImplemented } from '../errors.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { PathStat } from './results.ts'

export async function archiveStat(
  _c: EngineContext,
  _k: Container,
  _r: string,
  _p: string,
): Promise<PathStat> {
  throw notImplemented('cp is not implemented')
}

export async function archiveGet(
  _c: EngineContext,
  _k: Container,
  _r: string,
  _p: string,
): Promise<{ stat: PathStat; stream: Readable }> {
  throw notImplemented('cp is not implemented')
}

export async function archivePut(
  _c: EngineContext,
  _k: Container,
  _r: string,
  _p: string,
  _tar: Readable,
  _o: { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean },
): Promise<void> {
  throw notImplemented('cp is not implemented')
}
