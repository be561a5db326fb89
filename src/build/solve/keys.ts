/** What steps are called by: keys, and words for people. */
import { createHash, randomBytes } from 'node:crypto'
import { notFound } from '../../errors.ts'
import type { ExecOp, Operation, Vertex } from '../plan/ops.ts'

/** Which paths of input `index` the operation looks at; `undefined` is all. */
export function pathsWanted(op: Operation, index: number): string[] | undefined {
  if (op.kind === 'file') {
    if (op.root === index) return undefined
    const copies = op.actions.flatMap(action =>
      action.action === 'copy' && action.from === index ? [action] : [],
    )
    return copies.map(action => action.source.replace('/./', '/'))
  }
  if (op.kind === 'exec') {
    if (op.root === index) return undefined
    return op.mounts.flatMap(mount =>
      (mount.type === 'bind' || mount.type === 'cache') && mount.from === index ? [mount.source] : [],
    )
  }
  return undefined
}

export function withoutFrom(mount: ExecOp['mounts'][number]): ExecOp['mounts'][number] {
  return mount.type === 'bind' || mount.type === 'cache' ? { ...mount, from: undefined } : mount
}

/** BuildKit's sentence, which names the file and the reference that was searched. */
export function notInContext(source: string, isStage: boolean): Error {
  const where = isStage ? 'stage' : 'context'
  const ref = randomBytes(12).toString('hex')
  return notFound(
    `failed to compute cache key: failed to calculate checksum of ref ${where}::${ref}: ${JSON.stringify(source)}: not found`,
  )
}

export function describe(vertex: Vertex): string {
  const { op } = vertex
  if (op.kind === 'exec') return `mount / from exec ${op.argv.join(' ')}`
  return vertex.name
}

export function digestText(...parts: string[]): string {
  const sum = createHash('sha256')
  for (const part of parts) sum.update(`${part.length}:${part}`)
  return `sha256:${sum.digest('hex')}`
}
