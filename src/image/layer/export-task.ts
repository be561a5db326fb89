/** A whole root as a tar stream, from a confined worker thread. */
import { confinedTask } from '../confined/task.ts'
import { TreeWriter } from '../confined/tree.ts'
import { TarWriter } from '../tar/writer.ts'

await confinedTask<null, null>((_data, port) => {
  const writer = new TarWriter(bytes => port.write(bytes))
  new TreeWriter(writer).addTree('/', path => path.slice(1))
  writer.end()
  return null
})
