/** Unpacks a tar stream that is sent in, by the rules of layers without whiteouts of overlay. */
import { confinedTask } from '../confined/task.ts'
import { TarParser } from '../tar/parser.ts'
import { LayerApplier } from './apply.ts'

export interface CopyRequest {
  umask: number
}

await confinedTask<CopyRequest, null>(async ({ umask }, port) => {
  const applier = new LayerApplier({ whiteouts: 'plain', umask, maxBytes: Number.MAX_SAFE_INTEGER })
  const parser = new TarParser(applier)
  try {
    for await (const chunk of port.input()) parser.push(chunk)
    parser.end()
    applier.finish()
  } finally {
    applier.abort()
  }
  return null
})
