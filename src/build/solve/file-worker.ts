/** The thread in which files are copied, summed and unpacked. See {@link file://./file-pool.ts}. */
import * as fs from 'node:fs'
import { MessageChannel, type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { GantryError, invalid, kindOf, messageOf } from '../../errors.ts'
import { IgnoreMatcher } from '../dockerfile/ignore.ts'
import type { FileAction } from '../plan/ops.ts'
import { isArchive, unpackArchive } from './archive.ts'
import { type KnownSums, type Selection, selectionDigest } from './checksum.ts'
import { applyAction } from './file-actions.ts'
import { writeLayerTar } from './layer-tar.ts'
import { Linker } from './linker.ts'
import { RemoteSummer, type Summer, serveSummer } from './summer.ts'
import { Tree } from './tree.ts'
import { contentLength } from './usage.ts'

const { archiveLimit } = workerData as WorkerSettings

export interface WorkerSettings {
  /** Bytes that an archive may come to. */
  archiveLimit: number
}

export type FileJob =
  | {
      job: 'apply'
      rootFd: number
      inputs: (number | undefined)[]
      actions: FileAction[]
      epoch?: number
      /** The layer's own folder, and inputs whose files may be in it without a copy. */
      links?: { upperdir: string; inputs: number[] }
    }
  | { job: 'digest'; rootFd: number; selections: Selection[]; known?: KnownSums }
  | { job: 'unpack'; file: string; rootFd: number }
  | { job: 'exclude'; folder: string; exclude: string[] }
  | { job: 'tar'; folder: string; file: string; epoch?: number; isBare?: boolean }
  | { job: 'usage'; folder: string }
  | { job: 'remove'; paths: string[] }

export type ToFileWorker =
  | { id: number; work: FileJob }
  /** Sum what comes here. */
  | { summer: MessagePort }

export type FromFileWorker =
  | { id: number; result: unknown }
  /** For another worker: {@link ToFileWorker}. */
  | { summer: MessagePort }
  | { id: number; error: { kind: string; message: string; code?: string } }

async function run(work: FileJob): Promise<unknown> {
  switch (work.job) {
    case 'apply': {
      const inputs = work.inputs.map(fd => (fd === undefined ? undefined : new Tree(fd)))
      const linker = work.links && new Linker(work.links.upperdir)
      const context = {
        root: new Tree(work.rootFd),
        inputs,
        archiveLimit,
        ...(linker && { linkers: new Map(work.links!.inputs.map(input => [input, linker])) }),
        ...(work.epoch !== undefined && { epoch: work.epoch }),
      }
      for (const action of work.actions) await applyAction(context, action)
      const isLinked = (action: FileAction): boolean =>
        action.action === 'copy' && !action.unpack && (work.links?.inputs.includes(action.from!) ?? false)
      linker?.finish(work.actions.every(isLinked))
      return undefined
    }
    case 'digest':
      return work.selections.map(selection => selectionDigest(work.rootFd, selection, work.known))
    case 'unpack':
      if (!(await isArchive(work.file))) throw invalid('context is no tar archive')
      return unpackArchive(work.file, new Tree(work.rootFd), { limit: archiveLimit })
    case 'exclude':
      return removeIgnored(work.folder, '', new IgnoreMatcher(work.exclude))
    case 'tar':
      return writeLayerTar(work.folder, work.file, { ...work, summer: otherThread })
    case 'usage':
      return contentLength(work.folder)
    case 'remove':
      for (const path of work.paths) fs.rmSync(path, { recursive: true, force: true })
      return undefined
  }
}

/** A folder goes with all that is in it, unless a `!` brings something back. */
function removeIgnored(folder: string, prefix: string, matcher: IgnoreMatcher): void {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const place = `${folder}/${entry.name}`
    const relative = prefix + entry.name
    const out = matcher.ignores(relative)
    if (entry.isDirectory() && (!out || matcher.hasNegation)) removeIgnored(place, `${relative}/`, matcher)
    if (!out) continue
    if (!entry.isDirectory()) fs.unlinkSync(place)
    else if (!matcher.hasNegation || fs.readdirSync(place).length === 0) fs.rmSync(place, { recursive: true })
  }
}

/** A sum that another worker makes. */
function otherThread(): Summer {
  const { port1, port2 } = new MessageChannel()
  parentPort!.postMessage({ summer: port2 } satisfies FromFileWorker, [port2])
  return new RemoteSummer(port1)
}

parentPort?.on('message', async (message: ToFileWorker) => {
  if ('summer' in message) return serveSummer(message.summer)
  const { id, work } = message
  let reply: FromFileWorker
  try {
    reply = { id, result: await run(work) }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
    const kind = error instanceof GantryError ? kindOf(error) : 'internal'
    reply = { id, error: { kind, message: messageOf(error), ...(code && { code }) } }
  }
  parentPort?.postMessage(reply)
})
