/** What a build came to, in a form that two engines can be compared by. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { type TarEntry, toText } from '../../src/image/tar/entry.ts'
import { TarParser } from '../../src/image/tar/parser.ts'
import { type BuildCase, writeContext } from './cases.ts'

export interface FileOutcome {
  type: string
  mode: string
  owner: string
  size?: number
  sha256?: string
  link?: string
  xattrs?: Record<string, string>
}

export interface Outcome {
  /** The message of a build that failed. */
  error?: string
  config?: unknown
  history?: { createdBy: string; empty: boolean }[]
  /** What the layers above the base amount to: whiteouts are files with the name of what went. */
  files?: Record<string, FileOutcome>
}

interface Run {
  stdout: string
  stderr: string
  code: number
}

export function docker(
  host: string,
  args: string[],
  env: Record<string, string> = {},
  cwd?: string,
): Promise<Run> {
  return new Promise(resolve => {
    const options = {
      cwd,
      env: { ...process.env, DOCKER_HOST: host, ...env },
      maxBuffer: 1 << 28,
      timeout: 120_000,
    }
    execFile('docker', args, options, (error, stdout, stderr) => {
      resolve({ stdout, stderr, code: error ? Number(error.code ?? 1) : 0 })
    })
  })
}

/** Build a case with the engine at `host`, and look at what came out. `base` is an image that it has. */
export async function buildCase(one: BuildCase, host: string, base: string): Promise<Outcome> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-case-'))
  const tag = `gantry-case-${one.name}`
  try {
    const context = path.join(folder, 'context')
    fs.mkdirSync(context)
    writeContext(one, context, base)
    const options = [
      ...one.args.flatMap(arg => ['--build-arg', arg]),
      ...(one.target === undefined ? [] : ['--target', one.target]),
      ...one.options.map(option => option.replaceAll('{base}', base)),
    ]
    const env = { DOCKER_BUILDKIT: '1', BUILDX_NO_DEFAULT_ATTESTATIONS: '1' }
    const built = await docker(
      host,
      ['build', '--no-cache', '--progress=plain', '-t', tag, ...options, context],
      env,
      context,
    )
    if (built.code !== 0) return { error: errorOf(built.stderr, base) }
    const archive = path.join(folder, 'image.tar')
    const saved = await docker(host, ['save', '-o', archive, tag])
    if (saved.code !== 0) throw new Error(`save failed: ${saved.stderr}`)
    return imageOutcome(archive, base)
  } finally {
    await docker(host, ['rmi', '-f', tag])
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * The last line that begins with ERROR, without what is different each time: two threads of the client hear of an error, and each has
 * words of its own to put before it.
 */
function errorOf(stderr: string, base: string): string {
  const line = stderr.split('\n').findLast(text => text.startsWith('ERROR: ')) ?? stderr
  return line
    .replace(/^ERROR: (failed to build: )?(failed to solve: |failed to run Build function: )?/, '')
    .replace(/of ref \S+ /, 'of ref … ')
    .replace(/of ref \S+:/, 'of ref …:')
    .replace(/\/var\/lib\/docker\/overlay2\/\w+\/merged/, '')
    .replaceAll(base, 'base')
}

interface SavedManifest {
  Config: string
  Layers: string[]
}

function imageOutcome(archive: string, base: string): Outcome {
  const members = readTar(fs.readFileSync(archive))
  const [manifest] = JSON.parse(members.get('manifest.json')!.data.toString()) as SavedManifest[]
  const config = JSON.parse(members.get(manifest!.Config)!.data.toString()) as {
    config: Record<string, unknown>
    author?: string
    history: { created_by?: string; empty_layer?: boolean; comment?: string }[]
  }
  const own = config.history.filter(entry => entry.comment === 'buildkit.dockerfile.v0')
  const layers = own.filter(entry => !entry.empty_layer).length
  const files: Record<string, FileOutcome> = {}
  for (const layer of layers === 0 ? [] : manifest!.Layers.slice(-layers)) {
    const member = members.get(layer)!
    applyLayer(files, readTar(resolveLink(members, member)))
  }
  return {
    config: sorted({ ...config.config, ...(config.author && { author: config.author }) }),
    history: own.map(entry => ({
      createdBy: (entry.created_by ?? '').replaceAll(base, 'base'),
      empty: entry.empty_layer ?? false,
    })),
    files: Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))),
  }
}

/** Older archives name a layer that they have twice by a link. */
function resolveLink(members: Map<string, Member>, member: Member): Buffer {
  if (member.entry.type !== 'symlink' && member.entry.type !== 'link') return member.data
  const target = path.posix.join(path.posix.dirname(toText(member.entry.name)), toText(member.entry.linkName))
  return members.get(target)!.data
}

interface Member {
  entry: TarEntry
  data: Buffer
}

function readTar(bytes: Buffer): Map<string, Member> {
  const members = new Map<string, Member>()
  let current: { entry: TarEntry; parts: Buffer[] } | undefined
  const finish = () => {
    if (!current) return
    const name = path.posix.normalize(toText(current.entry.name)).replace(/^\/|\/$/g, '')
    members.set(name, { entry: current.entry, data: Buffer.concat(current.parts) })
    current = undefined
  }
  const parser = new TarParser({
    entry(entry) {
      finish()
      current = { entry, parts: [] }
    },
    data(part) {
      current?.parts.push(Buffer.from(part))
    },
    end: finish,
  })
  parser.push(bytes)
  parser.end()
  finish()
  return members
}

/** Layers are laid one upon the other: what a later one has takes the place of what was there. */
function applyLayer(files: Record<string, FileOutcome>, layer: Map<string, Member>): void {
  for (const [name, { entry, data }] of layer) {
    if (name === '.' || name === '') continue
    const base = path.posix.basename(name)
    if (base.startsWith('.wh.') && base !== '.wh..wh..opq') {
      const gone = path.posix.join(path.posix.dirname(name), base.slice(4))
      for (const other of Object.keys(files)) {
        if (other === gone || other.startsWith(`${gone}/`)) delete files[other]
      }
    }
    if (base.startsWith('.wh.')) {
      files[name] = { type: 'whiteout', mode: '', owner: '' }
      continue
    }
    files[name] = {
      type: entry.type,
      mode: (entry.mode & 0o7777).toString(8),
      owner: `${entry.uid}:${entry.gid}`,
      ...(entry.type === 'file' && {
        size: data.length,
        sha256: createHash('sha256').update(data).digest('hex').slice(0, 16),
      }),
      ...(entry.linkName && {
        link: toText(entry.linkName).replace(/^\//, entry.type === 'link' ? '' : '/'),
      }),
      ...(entry.type === 'char' && { link: `${entry.major}:${entry.minor}` }),
      ...(entry.xattrs && {
        xattrs: Object.fromEntries([...entry.xattrs].map(([key, value]) => [key, value.toString('hex')])),
      }),
    }
  }
}

/** Keys in order, and without what says nothing. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => !isNothing(item))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  )
}

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '' || value === false) return true
  return Array.isArray(value) && value.length === 0
}
