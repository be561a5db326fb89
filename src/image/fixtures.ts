/** For tests: small archives and images made in memory, and folders that go when the test ends. */
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { digestOf, hexOf } from './digest.ts'
import { openStorage, type Storage } from './storage.ts'
import { type TarEntry, tarEntry } from './tar/entry.ts'
import { TarParser } from './tar/parser.ts'
import { TarWriter, type TarWriterOptions } from './tar/writer.ts'

/** Why a test cannot run here; false if it can. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root'

export type Fields = Partial<TarEntry> & { content?: string | Buffer }

/** A tar with these members. What is not said: a file, empty. */
export function tarOf(members: Record<string, Fields | string>, options?: TarWriterOptions): Buffer {
  const parts: Uint8Array[] = []
  const writer = new TarWriter(part => parts.push(part), options)
  for (const [name, member] of Object.entries(members)) {
    const { content = '', ...fields } = typeof member === 'string' ? { content: member } : member
    const entry = tarEntry({ name, type: name.endsWith('/') ? 'directory' : 'file', ...fields })
    if (entry.type === 'file') writer.file(entry, Buffer.from(content))
    else writer.entry(entry)
  }
  writer.end()
  return Buffer.concat(parts)
}

export interface ParsedEntry extends TarEntry {
  content: Buffer
}

/** All entries of a tar, pushed in pieces of `step` bytes. */
export function parseTar(bytes: Buffer, step = bytes.length): ParsedEntry[] {
  const entries: ParsedEntry[] = []
  const parser = new TarParser({
    entry: entry => entries.push({ ...entry, content: Buffer.alloc(0) }),
    data: data => {
      const last = entries.at(-1)!
      last.content = Buffer.concat([last.content, data])
    },
    end: () => {},
  })
  for (let at = 0; at < bytes.length; at += step) parser.push(bytes.subarray(at, at + step))
  parser.end()
  return entries
}

/** A `docker save` archive, as before the OCI layout, of one image with these layers. */
export function dockerArchive(
  layers: Buffer[],
  options: { tags?: string[]; diffIds?: string[]; config?: object } = {},
): Buffer {
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: options.config ?? {},
    rootfs: { type: 'layers', diff_ids: options.diffIds ?? layers.map(layer => digestOf(layer)) },
  })
  const name = `${hexOf(digestOf(config))}.json`
  const Layers = layers.map((_, i) => `${i}/layer.tar`)
  return tarOf({
    ...Object.fromEntries(layers.map((layer, i) => [`${i}/layer.tar`, { content: layer }])),
    [name]: config,
    'manifest.json': JSON.stringify([{ Config: name, RepoTags: options.tags ?? ['test:1'], Layers }]),
  })
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-image-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A storage in a {@link temporaryFolder}. */
export function temporaryStorage(
  t: TestContext,
  driver: 'overlay2' | 'vfs' = 'overlay2',
): Storage & { root: string } {
  const root = temporaryFolder(t)
  const storage = openStorage({ root, driver })
  t.after(async () => {
    await storage.snapshots.settled()
    await storage.content.synced()
  })
  return { ...storage, root }
}

export function streamOf(bytes: Buffer): Readable {
  return Readable.from([bytes], { objectMode: false })
}
