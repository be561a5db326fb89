/** Brings in what a build is defined by: the Dockerfile, its ignore patterns, and the contexts that its names stand for. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { invalid, notFound } from '../errors.ts'
import type { Digest } from '../image/types.ts'
import type { Contexts } from './contexts.ts'
import { DockerfileError } from './dockerfile/errors.ts'
import { parseIgnore } from './dockerfile/ignore.ts'
import { type Dockerfile, parseDockerfile } from './dockerfile/parse.ts'
import type { ContextSource } from './plan/convert.ts'
import { type GitUrl, parseGitUrl } from './plan/git-url.ts'
import { type Vertex, vertex } from './plan/ops.ts'
import type { BuildRequest, ContextInput, NamedContext } from './request.ts'
import type { Layers } from './solve/layers.ts'
import { isRoot } from './solve/root.ts'
import type { LocalFolder } from './solve/session.ts'
import type { Solving } from './solve/solving.ts'
import { Tree } from './solve/tree.ts'
import { download, remove } from './sources/http.ts'
import type { Steps } from './steps.ts'

/** Bytes of a Dockerfile. */
const MAX_DOCKERFILE = 16 * 1024 * 1024

export interface Definition {
  dockerfile: Dockerfile
  /** What messages call the file. */
  filename: string
  context: ContextSource
  contexts: Record<string, ContextSource>
}

export interface DefinitionContext {
  request: BuildRequest
  contexts: Contexts
  layers: Layers
  solving: Solving
  steps: Steps
  signal: AbortSignal
  /** Folders by the name under which local vertices ask for them. */
  locals: Map<string, LocalFolder>
  /** Some files of a folder of the client's. */
  fromClient: (name: string, only: string[]) => Promise<LocalFolder>
  scratch: string
  /** Takes an image in for this build and answers with its id. */
  lentImage: (context: Extract<NamedContext, { kind: 'layout' | 'result' }>) => Promise<Digest>
}

export async function loadDefinition(context: DefinitionContext): Promise<Definition> {
  const { request, steps } = context
  const main = await openContext(context, request.context)
  const filename = cleanName(main.lone ?? request.dockerfile ?? 'Dockerfile')
  const text = await steps.run(`[internal] load build definition from ${filename}`, async watch => {
    const found = await readDefinition(context, main, filename)
    watch.transferred('transferring dockerfile:', Buffer.byteLength(found))
    return found
  })
  if (text.trim() === '') throw new DockerfileError('the Dockerfile cannot be empty')
  const dockerfile = parse(text)
  const exclude = await steps.run('[internal] load .dockerignore', async watch => {
    const found = await readIgnore(context, main, filename)
    watch.transferred('transferring context:', Buffer.byteLength(found))
    return parseIgnore(found)
  })
  const contexts: Record<string, ContextSource> = {}
  for (const [name, input] of Object.entries(request.contexts ?? {})) {
    contexts[name.toLowerCase()] = contexts[name] = await namedContext(context, name, input)
  }
  return { dockerfile, filename, context: await main.source(exclude), contexts }
}

function parse(text: string): Dockerfile {
  try {
    return parseDockerfile(text)
  } catch (error) {
    if (error instanceof DockerfileError) Object.assign(error, { source: text })
    throw error
  }
}

function cleanName(name: string): string {
  const clean = path.posix.normalize(name).replace(/^\/+/, '')
  if (clean === '..' || clean.startsWith('../')) {
    throw invalid(`the Dockerfile (${name}) must be within the build context`)
  }
  return clean
}

/** A context that was opened: what can be read of it now, and what the plan starts from. */
interface OpenContext {
  /** `undefined` where nothing is there. */
  read(file: string): Promise<string | undefined>
  source(exclude: string[]): Promise<ContextSource>
  /** The context is a lone Dockerfile, under this name. */
  lone?: string
}

async function openContext(context: DefinitionContext, input: ContextInput): Promise<OpenContext> {
  switch (input.kind) {
    case 'empty':
      return folderContext(context, context.contexts.create())
    case 'tar':
      return folderContext(context, await context.contexts.fromTar(input.stream, context.signal))
    case 'folder':
      return hostFolder(context, input.path)
    case 'remote':
      return remoteContext(context, input.url)
    case 'local': {
      const { name } = input
      return {
        read: file => fromClient(context, name, file),
        source: async exclude => ({ kind: 'local', name, exclude }),
      }
    }
  }
}

/** One file of a folder of the client's. */
async function fromClient(
  context: DefinitionContext,
  name: string,
  file: string,
): Promise<string | undefined> {
  const folder = await context.fromClient(name, [file])
  try {
    return readText(folder.path, file)
  } finally {
    folder.release()
  }
}

/** `undefined` where there is no such file. Links are followed inside of the folder only. */
function readText(folder: string, file: string): string | undefined {
  const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    const tree = new Tree(fd)
    const stat = tree.stat(file, true)
    if (!stat) return undefined
    if (!stat.isFile()) throw invalid(`${file} is not a file`)
    if (stat.size > MAX_DOCKERFILE) throw invalid(`${file} is larger than ${MAX_DOCKERFILE} bytes`)
    return tree.read(file)
  } finally {
    fs.closeSync(fd)
  }
}

function folderContext(context: DefinitionContext, folder: LocalFolder, name = 'context'): OpenContext {
  context.locals.set(name, folder)
  return {
    read: async file => readText(folder.path, file),
    source: async exclude => {
      await context.contexts.prune(folder.path, exclude)
      return { kind: 'local', name, exclude }
    },
  }
}

/** Files are taken from the host's folder when it is known what is excluded. */
function hostFolder(context: DefinitionContext, folder: string): OpenContext {
  return {
    read: async file => readText(folder, file),
    source: async exclude => {
      context.locals.set('context', await context.contexts.fromFolder(folder, exclude))
      return { kind: 'local', name: 'context', exclude }
    },
  }
}

async function remoteContext(context: DefinitionContext, url: string): Promise<OpenContext> {
  const git = parseGitUrl(url)
  if (git) {
    const fetched = gitVertex(context, url, git)
    context.solving.announce([fetched])
    const root = await context.solving.solve(fetched)
    if (!isRoot(root)) throw invalid('a repository is no folder of the client')
    const folder = context.layers.path(root.layers[0]!)
    return {
      read: async file => readText(folder, file),
      source: async exclude => {
        if (exclude.length === 0) return { kind: 'vertex', vertex: fetched }
        context.locals.set('context', await context.contexts.fromFolder(folder, exclude))
        return { kind: 'local', name: 'context', exclude }
      },
    }
  }
  return context.steps.run(`[internal] load remote build context`, async () => {
    const got = await download(url, context.scratch, context.signal)
    try {
      const folder = context.contexts.create()
      if (got.contentType === 'text/plain' || !(await isArchive(context, got.file, folder))) {
        fs.copyFileSync(got.file, path.join(folder.path, 'Dockerfile'))
        return { ...folderContext(context, folder), lone: 'Dockerfile' }
      }
      return folderContext(context, folder)
    } finally {
      remove(got.file)
    }
  })
}

function gitVertex(context: DefinitionContext, url: string, git: GitUrl): Vertex {
  const asked = context.request.buildArgs?.['BUILDKIT_CONTEXT_KEEP_GIT_DIR'] ?? ''
  const keepGitDir = git.keepGitDir ?? /^(1|t|true)$/i.test(asked)
  return vertex({ kind: 'git', ...git, keepGitDir }, [], { name: `[internal] load git source ${url}` })
}

async function isArchive(context: DefinitionContext, file: string, folder: LocalFolder): Promise<boolean> {
  try {
    await context.contexts.unpack(file, folder.path)
    return true
  } catch (error) {
    if (error instanceof Error && error.message.includes('no tar archive')) return false
    throw error
  }
}

async function readDefinition(
  context: DefinitionContext,
  main: OpenContext,
  filename: string,
): Promise<string> {
  const { request } = context
  if (request.dockerfileText !== undefined) return request.dockerfileText
  const elsewhere = request.dockerfileContext
  const read = elsewhere ? (file: string) => fromClient(context, elsewhere.name, file) : main.read
  const found = (await read(filename)) ?? (filename === 'Dockerfile' ? await read('dockerfile') : undefined)
  if (found !== undefined) return found
  throw notFound(`failed to read dockerfile: open ${filename}: no such file or directory`)
}

/** `Dockerfile.dockerignore` beside the Dockerfile comes before the context's own. */
async function readIgnore(context: DefinitionContext, main: OpenContext, filename: string): Promise<string> {
  const elsewhere = context.request.dockerfileContext
  const special = `${filename}.dockerignore`
  const found = elsewhere ? await fromClient(context, elsewhere.name, special) : await main.read(special)
  return found ?? (await main.read('.dockerignore')) ?? ''
}

async function namedContext(
  context: DefinitionContext,
  name: string,
  input: NamedContext,
): Promise<ContextSource> {
  if (input.kind === 'image') return input
  if (input.kind === 'layout' || input.kind === 'result') {
    return { kind: 'image', ref: await context.lentImage(input) }
  }
  if (input.kind === 'local') {
    const text = await fromClient(context, input.name, '.dockerignore')
    return { kind: 'local', name: input.name, exclude: parseIgnore(text ?? '') }
  }
  const key = `named ${name}`
  if (input.kind === 'folder') {
    const exclude = parseIgnore(readText(input.path, '.dockerignore') ?? '')
    context.locals.set(key, await context.contexts.fromFolder(input.path, exclude))
    return { kind: 'local', name: key, exclude }
  }
  const git = parseGitUrl(input.url)
  if (git) return { kind: 'vertex', vertex: gitVertex(context, input.url, git) }
  const got = await download(input.url, context.scratch, context.signal)
  try {
    const folder = context.contexts.create()
    context.locals.set(key, folder)
    await context.contexts.unpack(got.file, folder.path)
    return { kind: 'local', name: key, exclude: [] }
  } finally {
    remove(got.file)
  }
}
