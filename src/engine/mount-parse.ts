/** `-v`, `--mount` and the like, as words: parsed and checked in Docker's words, before anything is looked up or made. */
import * as path from 'node:path'
import { internal, invalid } from '../errors.ts'
import type { MountSpec } from './types.ts'

/** What a mode like `ro,z,rslave,nocopy` says. */
export interface MountMode {
  readOnly: boolean
  propagation: string
  noCopy: boolean
}

const PROPAGATIONS = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave']
const CONSISTENCIES = ['default', 'consistent', 'cached', 'delegated']

/** Raises invalid for a word that is not a mode, or two of a kind. */
export function parseMode(mode: string, kind: 'bind' | 'volume'): MountMode {
  const parsed: MountMode = { readOnly: false, propagation: '', noCopy: false }
  const seen = new Set<string>()
  const once = (what: string): void => {
    if (seen.has(what)) throw invalid(`invalid mode: ${mode}`)
    seen.add(what)
  }
  for (const word of mode === '' ? [] : mode.split(',')) {
    if (word === 'ro' || word === 'rw') {
      once('access')
      parsed.readOnly = word === 'ro'
    } else if (word === 'z' || word === 'Z') once('label')
    else if (kind === 'bind' && PROPAGATIONS.includes(word)) {
      once('propagation')
      parsed.propagation = word
    } else if (kind === 'volume' && word === 'nocopy') {
      once('copy')
      parsed.noCopy = true
    } else if (CONSISTENCIES.includes(word)) once('consistency')
    else throw invalid(`invalid mode: ${mode}`)
  }
  return parsed
}

/** A `-v`, as the mount that it means. `source` is absent for an anonymous volume. */
export interface ParsedBind extends MountMode {
  type: 'bind' | 'volume'
  source?: string
  target: string
  mode: string
}

/** `target`, `source:target`, `source:target:mode`. Raises as Docker. */
export function parseBind(text: string): ParsedBind {
  const parts = text.split(':')
  if (parts.length > 3 || parts[0] === '') throw internal(`invalid volume specification: '${text}'`)
  const source = parts.length > 1 ? parts[0] : undefined
  const target = parts.length > 1 ? parts[1]! : parts[0]!
  const mode = parts[2] ?? ''
  if (parts.length > 1 && target === '') throw internal(`invalid volume specification: '${text}'`)
  const type = source?.startsWith('/') ? 'bind' : 'volume'
  if (type === 'volume' && mode.split(',').some(word => PROPAGATIONS.includes(word))) {
    throw internal(
      `invalid volume specification: '${text}': invalid mount config for type "volume": field BindOptions must not be specified`,
    )
  }
  const modes = parseMode(mode, type)
  try {
    checkTarget(type, target)
  } catch (error) {
    throw internal(`invalid volume specification: '${text}': ${(error as Error).message}`)
  }
  return {
    ...modes,
    type,
    ...(source !== undefined && { source: type === 'bind' ? path.normalize(source) : source }),
    target: cleanPath(target),
    mode,
  }
}

/** `/a/b/` → `/a/b`, as Go's `filepath.Clean`. */
export function cleanPath(text: string): string {
  const clean = path.posix.normalize(text)
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean
}

/** Raises invalid for a mount whose words contradict each other. What exists on the host is not looked at. */
export function checkMountSpec(mount: MountSpec): void {
  const fail = (text: string) => invalid(`invalid mount config for type "${mount.type}": ${text}`)
  if (!['bind', 'volume', 'tmpfs', 'image'].includes(mount.type)) throw fail('mount type unknown')
  if (!mount.target) throw fail('field Target must not be empty')
  for (const [key, name] of [
    ['bind', 'BindOptions'],
    ['volume', 'VolumeOptions'],
    ['tmpfs', 'TmpfsOptions'],
    ['image', 'ImageOptions'],
  ] as const) {
    if (mount[key] && mount.type !== key) {
      throw invalid(`${name} must not be specified on mount type "${mount.type}"`)
    }
  }
  checkTarget(mount.type, mount.target)
  CHECKS[mount.type as keyof typeof CHECKS](mount, fail)
}

type Check = (mount: MountSpec, fail: (text: string) => Error) => void

const CHECKS: Record<'bind' | 'volume' | 'tmpfs' | 'image', Check> = {
  bind(mount, fail) {
    if (!mount.source) throw fail('field Source must not be empty')
    const propagation = mount.bind?.propagation
    if (propagation && !PROPAGATIONS.includes(propagation)) {
      throw fail(`invalid propagation mode: ${propagation}`)
    }
    if (!mount.source.startsWith('/')) {
      throw fail(`invalid mount path: '${mount.source}' mount path must be absolute`)
    }
    const bind = mount.bind
    if (bind?.readOnlyForceRecursive && bind.readOnlyNonRecursive) {
      throw fail('ReadOnlyForceRecursive and ReadOnlyNonRecursive cannot be set at the same time')
    }
    if (bind?.readOnlyForceRecursive && !mount.readOnly) {
      throw fail('mount source must be read-only for ReadOnlyForceRecursive')
    }
  },
  volume(mount, fail) {
    if (!mount.source && mount.readOnly) throw fail('must not set ReadOnly mode when using anonymous volumes')
    checkSubpath(mount.volume?.subpath, fail)
    if (!mount.source && mount.volume?.subpath) {
      throw fail('must not set Subpath when using anonymous volumes')
    }
  },
  tmpfs(mount, fail) {
    if (mount.source) throw fail('field Source must not be specified')
    if ((mount.tmpfs?.sizeBytes ?? 0) < 0) throw fail('negative size is not allowed')
  },
  image(mount, fail) {
    if (!mount.source) throw fail('field Source must not be empty')
    checkSubpath(mount.image?.subpath, fail)
  },
}

function checkSubpath(subpath: string | undefined, fail: (text: string) => Error): void {
  if (!subpath) return
  if (subpath.startsWith('/') || cleanPath(subpath).split('/').includes('..')) {
    throw fail('subpath must be a relative path within the volume')
  }
}

function checkTarget(type: string, target: string): void {
  const fail = (text: string) => invalid(`invalid mount config for type "${type}": ${text}`)
  if (!target.startsWith('/')) {
    throw fail(`invalid mount path: '${target}' mount path must be absolute`)
  }
  if (cleanPath(target) === '/') throw fail("invalid specification: destination can't be '/'")
}

// biome-ignore format: a table
const TMPFS_FLAGS = new Set([
  'ro', 'rw', 'exec', 'noexec', 'suid', 'nosuid', 'dev', 'nodev', 'atime', 'noatime', 'diratime', 'nodiratime',
  'relatime', 'norelatime', 'strictatime', 'nostrictatime', 'sync', 'async', 'dirsync', 'mand', 'nomand', 'defaults',
  'bind', 'rbind', 'remount', 'private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave', 'unbindable', 'runbindable',
])
const TMPFS_VALUES = new Set(['mode', 'uid', 'gid', 'nr_blocks', 'nr_inodes', 'mpol', 'size'])

/** Options of `--tmpfs /x:…`. Raises invalid for what Docker does not let through. */
export function parseTmpfsOptions(text: string): string[] {
  const options = text.split(',').filter(Boolean)
  for (const option of options) {
    const [name, value] = [option.split('=')[0]!, option.includes('=')]
    if (value ? !TMPFS_VALUES.has(name) : !TMPFS_FLAGS.has(name)) {
      throw invalid(`invalid tmpfs option ${JSON.stringify(name)}`)
    }
  }
  return options
}

/** `id[:mode]` of `--volumes-from`. */
export function parseVolumesFrom(text: string): { container: string; readOnly: boolean; mode: string } {
  const [container = '', ...rest] = text.split(':')
  const mode = rest.join(':')
  if (container === '') throw invalid('volumes-from specification cannot be an empty string')
  return { container, readOnly: parseMode(mode, 'volume').readOnly, mode }
}
