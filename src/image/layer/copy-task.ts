/** Unpacks a tar stream that is sent in: into a folder of vfs, or of a container. */
import type { TaskPort } from '../confined/task.ts'
import { TarParser } from '../tar/parser.ts'
import { LayerApplier, type WhiteoutStyle } from './apply.ts'

export interface CopyRequest {
  umask: number
  whiteouts: WhiteoutStyle
  owner?: { uid: number; gid: number } | undefined
  keepKinds?: string | undefined
}

/** The task. */
export async function copy(request: CopyRequest, port: TaskPort): Promise<void> {
  const applier = new LayerApplier({ ...request, maxBytes: Number.MAX_SAFE_INTEGER })
  const parser = new TarParser(applier)
  try {
    for await (const chunk of port.input()) parser.push(chunk)
    parser.end()
    applier.finish()
  } finally {
    applier.abort()
  }
}
