/** The image that Gantry brings along, so that it can be tried without a registry: one static binary. */
import * as fs from 'node:fs'
import { composeImage, storeLayer } from './compose.ts'
import type { ImageRecord, ImageStore } from './image-store.ts'
import { hostPlatform } from './platform.ts'
import { parseReference } from './reference.ts'
import { tarEntry } from './tar/entry.ts'
import { TarWriter } from './tar/writer.ts'

/**
 * Put `hello:latest` into the store, made from a static binary. The same binary always gives the same image.
 * @param binary path of the file on this host
 */
export async function putHello(store: ImageStore, binary: string, name = 'hello'): Promise<ImageRecord> {
  const bytes = fs.readFileSync(binary)
  const parts: Uint8Array[] = []
  const writer = new TarWriter(part => parts.push(part))
  writer.file(tarEntry({ name: 'hello', type: 'file', mode: 0o755 }), bytes)
  writer.end()
  const layer = await storeLayer(
    store,
    (async function* () {
      yield* parts
    })(),
  )
  try {
    const created = '1970-01-01T00:00:00Z'
    const { os, architecture } = hostPlatform()
    const image = composeImage(
      {
        architecture,
        os,
        created,
        config: { Cmd: ['/hello'], Env: ['PATH=/'], WorkingDir: '/' },
        rootfs: { type: 'layers', diff_ids: [layer.diffId] },
        history: [{ created, created_by: 'gantry builtin hello' }],
      },
      [layer.descriptor],
    )
    return await store.put(image, { references: [parseReference(name)] })
  } finally {
    layer.release()
  }
}
