/** `docker commit`. */
import { notImplemented } from '../errors.ts'
import type { Digest } from '../image/types.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { CommitOptions } from './results.ts'

export async function commitContainer(_c: EngineContext, _k: Container, _o: CommitOptions): Promise<Digest> {
  throw notImplemented('commit is not implemented')
}
