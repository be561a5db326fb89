/**
 * The plan: a graph of operations on file systems. A {@link Vertex} is one operation and the vertices whose results it
 * starts from; its digest is over both, so two vertices that do the same are the same. Each vertex has one result, a root
 * file system. Nothing here knows what language the plan was written in.
 */
import { createHash } from 'node:crypto'
import type { Ulimit } from '../../engine/types.ts'
import type { Digest, Platform } from '../../image/types.ts'
import type { LineRange } from '../dockerfile/errors.ts'

export interface Vertex {
  readonly digest: Digest
  readonly op: Operation
  readonly inputs: readonly Vertex[]
  /** What a person is shown. */
  readonly name: string
  readonly ignoreCache: boolean
  /** Lines of the source that it stands for. */
  readonly range?: LineRange
  readonly platform?: Platform
}

export type Operation = SourceOp | ExecOp | FileOp | CombineOp

export type SourceOp = ImageOp | LocalOp | GitOp | HttpOp

/** The root file system of an image. */
export interface ImageOp {
  kind: 'image'
  ref: string
  /** Of the manifest, once resolved. */
  digest?: Digest
  platform: Platform
  /** Ask the registry even where the store has the image. */
  pull: boolean
}

/** A folder of whoever asked for the build. */
export interface LocalOp {
  kind: 'local'
  name: string
  /** Patterns as in `.dockerignore`. */
  exclude: string[]
  /** Only these paths and what they link to; absent is all. */
  paths?: string[]
}

export interface GitOp {
  kind: 'git'
  /** Without fragment. */
  url: string
  /** Branch, tag, or commit; the default branch where absent. */
  ref?: string
  subfolder?: string
  keepGitDir: boolean
  /** The commit that it has to be, or how that begins. */
  checksum?: string
  /** Fetch submodules too; true unless told. */
  submodules?: boolean
}

export interface HttpOp {
  kind: 'http'
  url: string
  /** What the file is called in the result. */
  filename: string
  checksum?: Digest
}

/** An input of an operation: the index in {@link Vertex.inputs}, or `undefined` for an empty root. */
export type Input = number | undefined

/** Run a command on a root file system and keep what it changed. */
export interface ExecOp {
  kind: 'exec'
  root: Input
  argv: string[]
  env: string[]
  cwd: string
  user: string
  mounts: ExecMount[]
  network: 'default' | 'none' | 'host'
  privileged: boolean
  hostname?: string
  /** `name:address` */
  extraHosts: string[]
  ulimits: Ulimit[]
  /** Bytes. */
  shmSize?: number
  cgroupParent?: string
  /** Passed to the command; no part of any key. */
  proxyEnv: string[]
  limits?: ExecLimits
}

/** Bytes, microseconds and shares, as `docker build` has them. */
export interface ExecLimits {
  memory?: number
  memorySwap?: number
  cpuShares?: number
  cpuPeriod?: number
  cpuQuota?: number
  cpusetCpus?: string
  cpusetMems?: string
}

export type ExecMount =
  | { type: 'bind'; from: Input; source: string; target: string; readOnly: boolean }
  | {
      type: 'cache'
      id: string
      target: string
      from: Input
      source: string
      readOnly: boolean
      sharing: 'shared' | 'private' | 'locked'
      mode: number
      uid: number
      gid: number
    }
  | { type: 'tmpfs'; target: string; size?: number }
  | {
      type: 'secret'
      id: string
      /** Absent where only a variable is asked for. */
      target?: string
      env?: string
      required: boolean
      mode: number
      uid: number
      gid: number
    }
  | { type: 'ssh'; id: string; target: string; required: boolean; mode: number; uid: number; gid: number }
  | { type: 'file'; target: string; content: string; mode: number }

/** Change files of a root file system, one action after the other. */
export interface FileOp {
  kind: 'file'
  root: Input
  actions: FileAction[]
}

/** Owner as it was written: names are looked up in the root that is changed. */
export interface Owner {
  user: string
  group?: string
}

export type FileAction =
  | {
      action: 'copy'
      from: Input
      /** Absolute in `from`; may be a pattern. */
      source: string
      /** Absolute; a slash at its end says that it is a folder. */
      destination: string
      owner?: Owner
      /** Octal digits, or symbolic as in chmod(1). */
      mode?: string
      exclude: string[]
      /** Keep the folders of the source's path from `/./` on. */
      parents: boolean
      /** Extract archives instead of copying them. */
      unpack: boolean
      /** Docker's own: a pattern that fits nothing copies nothing. */
      allowEmpty: boolean
    }
  | { action: 'mkdir'; path: string; mode: number; owner?: Owner }
  | { action: 'mkfile'; path: string; mode: number; content: string; owner?: Owner }
  | { action: 'remove'; path: string; allowMissing: boolean }

/** `merge`: all inputs' changes, one upon the other. `diff`: what the second has and the first has not. */
export interface CombineOp {
  kind: 'merge' | 'diff'
}

export interface VertexOptions {
  name: string
  ignoreCache?: boolean
  range?: LineRange
  platform?: Platform
}

export function vertex(op: Operation, inputs: readonly Vertex[], options: VertexOptions): Vertex {
  const { name, ignoreCache = false, range, platform } = options
  return {
    digest: definitionDigest(op, inputs, platform),
    op,
    inputs,
    name,
    ignoreCache,
    ...(range && { range }),
    ...(platform && { platform }),
  }
}

function definitionDigest(op: Operation, inputs: readonly Vertex[], platform: Platform | undefined): Digest {
  const kept = op.kind === 'exec' ? { ...op, proxyEnv: [] } : op
  const text = canonical({ op: kept, inputs: inputs.map(input => input.digest), platform })
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

/** JSON with sorted keys and without `undefined`, so that equal values are equal texts. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(item => canonical(item ?? null)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`
}

/** Every vertex that `roots` need, inputs before those that use them; equal ones once. */
export function flatten(roots: readonly Vertex[]): Vertex[] {
  const seen = new Map<Digest, Vertex>()
  const visit = (one: Vertex): void => {
    if (seen.has(one.digest)) return
    one.inputs.forEach(visit)
    seen.set(one.digest, one)
  }
  roots.forEach(visit)
  return [...seen.values()]
}
