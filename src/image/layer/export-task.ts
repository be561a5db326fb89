/** Files of a root as a tar stream, from a confined worker thread. */
import type { TaskPort } from '../confined/task.ts'
import { TreeWriter } from '../confined/tree.ts'
import type { ByteString } from '../tar/entry.ts'
import { TarWriter } from '../tar/writer.ts'

export interface ExportRequest {
  /** What to write: absolute in the root, bytes. Links on the way are followed, the last one is not. */
  path: ByteString
  /** Its name in the archive. */
  name: ByteString
}

/** The task. */
export function exportTree({ path, name }: ExportRequest, port: TaskPort): void {
  const writer = new TarWriter(bytes => port.write(bytes))
  new TreeWriter(writer).addTree(path, each => name + each.slice(path.length))
  writer.end()
}
