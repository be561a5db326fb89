/**
 * Who may remove an image, and what that takes along: the rules and words of `docker rmi` and `docker image prune`.
 * Without conflict the last name of an image takes the image with it, and its unnamed parents.
 */
import { conflict } from '../errors.ts'
import { hexOf, shortId } from './digest.ts'
import { matchesFilters } from './image-list.ts'
import type { ImageRecord, ImageStore } from './image-store.ts'
import { canonicalName, familiar, parseImageName, type Reference, withDefaultTag } from './reference.ts'
import type { Digest } from './types.ts'

/** A container that was made from an image. */
export interface ImageUser {
  /** 64 hex digits. */
  containerId: string
  isRunning: boolean
}

/** Containers made from an image. */
export type ImageUsers = (id: Digest) => readonly ImageUser[]

export type ImageRemoval = { untagged: string } | { deleted: Digest }

export interface RemoveOptions {
  force?: boolean
  /** Leave unnamed parents. */
  noPrune?: boolean
  users?: ImageUsers
}

/**
 * Remove a name, or the image if that was its last.
 * @throws GantryError `notFound`, `conflict` in Docker's words
 */
export function removeImage(store: ImageStore, text: string, options: RemoveOptions = {}): ImageRemoval[] {
  const { force = false, users = () => [] } = options
  const record = store.resolve(text)
  const removals: ImageRemoval[] = []
  if (isIdPrefix(record.id, text)) {
    if (isSingle(record)) {
      checkConflicts(store, record, { force, ignoreNames: true, users })
      untag(store, references(record), removals)
    }
  } else {
    const named = nameMeant(record, text)
    const user = users(record.id)[0]
    if (!force && user !== undefined && isSingle(record)) {
      throw conflict(
        `conflict: unable to remove repository reference "${familiar(named)}" (must force) - ` +
          `container ${user.containerId.slice(0, 12)} is using its referenced image ${shortId(record.id)}`,
      )
    }
    untag(store, withOrphanDigests(record, named), removals)
    // A name was asked to go, and went. The image may stay for those who still need it.
    const isNeeded =
      store.children(record.id).length > 0 || users(record.id).some(each => !force || each.isRunning)
    if (record.names.size > 0 || isNeeded) return removals
  }
  removeWithParents(store, record, { ...options, force, users }, removals)
  return removals
}

function isIdPrefix(id: Digest, text: string): boolean {
  return id.startsWith(text) || hexOf(id).startsWith(text)
}

function references(record: ImageRecord): Reference[] {
  return [...record.names.values()].map(name => name.reference)
}

/** The one of the image's names that was typed: a tag, or a digest where no tag was said. */
function nameMeant(record: ImageRecord, text: string): Reference {
  const name = parseImageName(text)
  if (name.kind === 'digest') return references(record)[0]!
  const { tag, digest, domain, path } = withDefaultTag(name.reference)
  const all = references(record)
  const same = (each: Reference) => each.domain === domain && each.path === path
  return (
    all.find(each => same(each) && each.tag === tag && each.digest === digest) ??
    all.find(each => same(each) && each.digest === digest && digest !== undefined) ??
    withDefaultTag(name.reference)
  )
}

/** With a repository's last tag its digests go as well: nobody would know them. */
function withOrphanDigests(record: ImageRecord, named: Reference): Reference[] {
  if (named.digest !== undefined) return [named]
  const others = references(record).filter(
    each => canonicalName(each) === canonicalName(named) && each.tag !== named.tag,
  )
  return others.some(each => each.digest === undefined) ? [named] : [named, ...others]
}

/** One name at most, not counting the digest that a pull leaves beside its tag. */
function isSingle(record: ImageRecord): boolean {
  const all = references(record)
  if (all.length <= 1) return true
  const tags = all.filter(each => each.digest === undefined)
  const repositories = new Set(all.filter(each => each.digest !== undefined).map(canonicalName))
  if (tags.length > 1 || repositories.size !== 1) return false
  return repositories.has(canonicalName(tags[0] ?? all[0]!))
}

function untag(store: ImageStore, names: readonly Reference[], removals: ImageRemoval[]): void {
  store.untag(names)
  for (const name of names) removals.push({ untagged: familiar(name) })
}

interface Conflicts {
  force: boolean
  /** Names are about to go anyway. */
  ignoreNames?: boolean
  users: ImageUsers
}

/** @throws GantryError `conflict` */
function checkConflicts(
  store: ImageStore,
  record: ImageRecord,
  { force, ignoreNames, users }: Conflicts,
): void {
  const refuse = (hard: boolean, why: string) =>
    conflict(
      `conflict: unable to delete ${shortId(record.id)} (${hard ? 'cannot be forced' : 'must be forced'}) - ${why}`,
    )
  if (store.children(record.id).length > 0) throw refuse(true, 'image has dependent child images')
  const using = users(record.id)
  const running = using.find(user => user.isRunning)
  if (running !== undefined) {
    throw refuse(true, `image is being used by running container ${running.containerId.slice(0, 12)}`)
  }
  if (force) return
  if (!ignoreNames && record.names.size > 0)
    throw refuse(false, 'image is referenced in multiple repositories')
  if (using[0] !== undefined) {
    throw refuse(false, `image is being used by stopped container ${using[0].containerId.slice(0, 12)}`)
  }
}

function removeWithParents(
  store: ImageStore,
  record: ImageRecord,
  options: RemoveOptions & Conflicts,
  removals: ImageRemoval[],
): void {
  checkConflicts(store, record, options)
  const { parent } = record
  untag(store, references(record), removals)
  const { chains } = store.forget([record.id])
  for (const deleted of [record.id, ...chains]) removals.push({ deleted })
  const above = parent === undefined || options.noPrune ? undefined : store.get(parent)
  if (above === undefined || above.names.size > 0 || options.users(above.id).length > 0) return
  if (store.children(above.id).length > 0) return
  removeWithParents(store, above, { ...options, force: false }, removals)
}

/**
 * `docker image prune`: images that no container uses; only unnamed ones unless the filter says `dangling=false`.
 * Filters: `dangling`, `until`, `label`, `label!`.
 */
export function pruneImages(
  store: ImageStore,
  filters: Record<string, string[]> = {},
  users: ImageUsers = () => [],
): { removed: ImageRemoval[]; spaceReclaimed: number } {
  const { dangling = ['true'], ...others } = filters
  const isOnlyDangling = !dangling.some(value => value === 'false' || value === '0')
  const removed: ImageRemoval[] = []
  let spaceReclaimed = 0
  for (let found = true; found; ) {
    const next = store
      .all()
      .find(
        record =>
          store.children(record.id).length === 0 &&
          users(record.id).length === 0 &&
          (!isOnlyDangling || record.names.size === 0) &&
          matchesFilters(store, record, others),
      )
    found = next !== undefined
    if (next === undefined) break
    untag(store, references(next), removed)
    const { chains, bytes } = store.forget([next.id])
    for (const deleted of [next.id, ...chains]) removed.push({ deleted })
    spaceReclaimed += bytes
  }
  return { removed, spaceReclaimed: spaceReclaimed + store.collectGarbage(0).bytes }
}
