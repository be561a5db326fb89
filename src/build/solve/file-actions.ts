/** The actions of a file operation, done on a root. Synchronous where it can be: runs in a worker thread. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode, invalid, notFound } from '../../errors.ts'
import { resolveUser, type UserQuery } from '../../runtime/user.ts'
import { IgnoreMatcher } from '../dockerfile/ignore.ts'
import { changeMode } from '../plan/mode.ts'
import type { FileAction, Owner } from '../plan/ops.ts'
import { isArchive, unpackArchive } from './archive.ts'
import { type CopyOptions, copyContents, copyEntry } from './copy-tree.ts'
import type { Linker } from './linker.ts'
import { findSources, splitPivot } from './match.ts'
import { type Place, setTimes } from './place.ts'
import { type Folder, split, Tree, using } from './tree.ts'

export interface ActionContext {
  root: Tree
  /** The operation's inputs, by their index. */
  inputs: (Tree | undefined)[]
  /** For inputs whose files need no copy. */
  linkers?: ReadonlyMap<number, Linker>
  /** Seconds since 1970: what new folders are dated; now where absent. */
  epoch?: number
  /** Bytes that an archive may come to. */
  archiveLimit: number
}

type Copy = Extract<FileAction, { action: 'copy' }>
interface Ids {
  uid: number
  gid: number
}

export async function applyAction(context: ActionContext, action: FileAction): Promise<void> {
  if (action.action === 'copy') await copy(context, action)
  else if (action.action === 'mkdir')
    makeFolder(context, action.path, action.mode, idsOf(context, action.owner))
  else if (action.action === 'mkfile') makeFile(context, action)
  else remove(context, action)
}

/** Names are looked up in the root that is changed. */
function idsOf({ root }: ActionContext, owner: Owner | undefined): Ids | undefined {
  if (!owner) return undefined
  const ids = known({ user: owner.user, passwd: root.read('/etc/passwd') }) ?? { uid: 0, gid: 0 }
  const gid = /^\d+$/.test(owner.user) ? ids.uid : ids.gid
  if (owner.group === undefined) return { uid: ids.uid, gid }
  const found = known({ user: `:${owner.group}`, group: root.read('/etc/group') })
  return { uid: ids.uid, gid: found?.gid ?? gid }
}

/** As Docker: an unknown user is root, an unknown group the user's own. */
function known(query: UserQuery): Ids | undefined {
  try {
    return resolveUser(query)
  } catch {
    return undefined
  }
}

function makeFolder(context: ActionContext, file: string, mode: number, ids: Ids | undefined): void {
  ensureFolder(context, file, ids, mode).close()
}

/** The folder at `file`, made with its parents where it is not. */
function ensureFolder(
  context: ActionContext,
  file: string,
  ids: Ids | undefined,
  mode = 0o755,
  parentsMode = 0o755,
): Folder {
  const found = context.root.tryFolder(file)
  if (found) return found
  const [parent, name] = split(file)
  const above = ensureFolder(context, parent, ids, parentsMode, parentsMode)
  return using(above, open => {
    try {
      fs.mkdirSync(open.at(name), mode)
    } catch (error) {
      if (hasCode(error, 'EEXIST')) throw invalid(`mkdir ${file}: not a directory`)
      throw error
    }
    fs.chmodSync(open.at(name), mode)
    if (ids) fs.lchownSync(open.at(name), ids.uid, ids.gid)
    stamp(context, open.at(name))
    return open.enter(name)
  })
}

function stamp({ epoch }: ActionContext, place: Place): void {
  const time = BigInt(epoch ?? 0) * 1_000_000_000n
  if (epoch !== undefined) setTimes(place, time, time)
}

function makeFile(context: ActionContext, action: Extract<FileAction, { action: 'mkfile' }>): void {
  const ids = idsOf(context, action.owner)
  const [parent, name] = split(action.path)
  using(ensureFolder(context, parent, ids), folder => {
    const place = folder.at(name)
    fs.rmSync(place, { force: true })
    fs.writeFileSync(place, action.content, { flag: 'wx' })
    fs.chmodSync(place, action.mode)
    if (ids) fs.lchownSync(place, ids.uid, ids.gid)
    stamp(context, place)
  })
}

function remove(context: ActionContext, action: Extract<FileAction, { action: 'remove' }>): void {
  const [parent, name] = split(action.path)
  const folder = context.root.tryFolder(parent)
  if (!folder && action.allowMissing) return
  if (!folder) throw notFound(`${action.path}: not found`)
  using(folder, open => fs.rmSync(open.at(name), { recursive: true, force: action.allowMissing }))
}

async function copy(context: ActionContext, action: Copy): Promise<void> {
  const source = action.from === undefined ? undefined : context.inputs[action.from]
  if (!source) throw notFound(`${JSON.stringify(action.source)}: not found`)
  const ids = idsOf(context, action.owner)
  const isAsItIs = !action.unpack && action.mode === undefined && !ids?.uid && !ids?.gid
  const linker = isAsItIs ? context.linkers?.get(action.from!) : undefined
  const options: CopyOptions = {
    ...(linker && { linker }),
    ...(ids && { owner: ids }),
    ...(action.mode !== undefined && { mode: action.mode }),
    exclude: new IgnoreMatcher(action.exclude),
    into: context.root,
    links: new Map(),
  }
  const { base, kept } = action.parents ? splitPivot(action.source) : { base: '/', kept: action.source }
  const from = base === '/' ? '' : base
  const found = findSources(source, from + kept)
  if (found.length === 0 && !action.allowEmpty) throw notFound(`${JSON.stringify(action.source)}: not found`)
  for (const file of found) {
    if (action.parents) copyWithParents(context, source, from, file, action, options)
    else if (!(await unpack(context, source, file, action, options.owner))) {
      copyOne(context, source, file, action, options)
    }
  }
}

/** Unpack a source that is an archive and shall be unpacked; `false` for any other. */
async function unpack(
  context: ActionContext,
  source: Tree,
  file: string,
  action: Copy,
  owner: Ids | undefined,
): Promise<boolean> {
  if (!action.unpack || !source.stat(file, true)?.isFile()) return false
  const [parent, name] = split(source.real(file) ?? file)
  const from = source.folder(parent)
  try {
    if (!(await isArchive(from.at(name)))) return false
    const to = ensureFolder(context, action.destination, owner)
    try {
      await unpackArchive(from.at(name), new Tree(to.fd), { owner, limit: context.archiveLimit })
    } finally {
      to.close()
    }
    return true
  } finally {
    from.close()
  }
}

/** One source, by Docker's rules: a folder's content into the destination, a file to it or into it. */
function copyOne(
  context: ActionContext,
  source: Tree,
  file: string,
  action: Copy,
  options: CopyOptions,
): void {
  const real = source.real(file) ?? file
  const [parent, name] = split(real)
  using(source.folder(parent), from => {
    const stat = fs.lstatSync(from.at(name), { bigint: true })
    if (stat.isDirectory()) {
      copyFolderContents(context, from, name, action.destination, options)
      return
    }
    const [folder, target] = destinationOf(context, action.destination, split(file)[1])
    using(ensureForCopy(context, folder, options), to => {
      copyEntry(from, name, to, target, split(file)[1], options)
    })
  })
}

/** Where a file goes: into a folder that is there or that is written with a slash, else under the destination's own name. */
function destinationOf(
  context: ActionContext,
  destination: string,
  name: string,
): [folder: string, name: string] {
  const isFolder = destination.endsWith('/') || context.root.stat(destination, true)?.isDirectory()
  if (isFolder) return [destination, name]
  const real = context.root.real(destination)
  return split(real ?? destination)
}

function copyFolderContents(
  context: ActionContext,
  from: Folder,
  name: string,
  destination: string,
  options: CopyOptions,
): void {
  const isNew = context.root.stat(destination, true) === undefined
  using(ensureForCopy(context, destination, options), into => {
    using(from.enter(name || '.'), inner => copyContents(inner, into, '', options, isNew))
  })
}

/** Folders that a copy needs get an octal `--chmod` too, as far as Docker's umask lets it. */
function ensureForCopy(context: ActionContext, file: string, { owner, mode }: CopyOptions): Folder {
  const isOctal = mode !== undefined && /^[0-7]+$/.test(mode)
  const bits = isOctal ? Number.parseInt(mode, 8) & 0o755 : 0o755
  return ensureFolder(context, file, owner, bits, bits)
}

/** `--parents`: each folder of the kept path is made, with the source folder's mode and owner. */
function copyWithParents(
  context: ActionContext,
  source: Tree,
  base: string,
  file: string,
  action: Copy,
  options: CopyOptions,
): void {
  const kept = file.slice(base.length)
  const [parent, name] = split(kept)
  let above = ''
  for (const part of parent.split('/').filter(Boolean)) {
    above += `/${part}`
    makeLike(context, source, base + above, path.posix.join(action.destination, above), options)
  }
  using(source.folder(base + parent), from => {
    const into = ensureFolder(context, path.posix.join(action.destination, parent), options.owner)
    using(into, to => copyEntry(from, name, to, name, '', options))
  })
}

function makeLike(
  context: ActionContext,
  source: Tree,
  model: string,
  file: string,
  options: CopyOptions,
): void {
  if (context.root.stat(file, true)) return
  const stat = source.stat(model, true)
  using(ensureFolder(context, file, options.owner), made => {
    if (!stat) return
    const bits = Number(stat.mode) & 0o7777
    fs.chmodSync(made.at(''), options.mode === undefined ? bits : changeMode(bits, options.mode, true))
    fs.chownSync(made.at(''), options.owner?.uid ?? Number(stat.uid), options.owner?.gid ?? Number(stat.gid))
  })
}
