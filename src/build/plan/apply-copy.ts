/** `COPY` and `ADD`. */
import * as path from 'node:path'
import { invalid } from '../../errors.ts'
import { parseDigest } from '../../image/digest.ts'
import type { Digest } from '../../image/types.ts'
import { heredocText } from '../dockerfile/heredoc.ts'
import { hasWildcard } from '../dockerfile/ignore.ts'
import type { CopyInstruction } from '../dockerfile/instructions.ts'
import { ownerOf } from './apply.ts'
import { isHttpUrl, parseGitUrl } from './git-url.ts'
import { isMode } from './mode.ts'
import { type FileAction, type FileOp, type Input, type Owner, type Vertex, vertex } from './ops.ts'
import type { StageBuilder } from './stage-builder.ts'

export async function applyCopy(stage: StageBuilder, one: CopyInstruction): Promise<void> {
  const chown = one.chown === undefined ? undefined : stage.expand(one.chown)
  const sources = one.sources.map(source => stage.expand(source))
  const destination = destinationOf(stage, one)
  const checksum = one.checksum === undefined ? undefined : stage.expand(one.checksum)
  if (checksum !== undefined && sources.length !== 1)
    throw invalid("checksum can't be specified for multiple sources")
  const inputs: Vertex[] = []
  const input = (from: Vertex | undefined): Input => {
    if (!from) return undefined
    const known = inputs.findIndex(other => other.digest === from.digest)
    return known >= 0 ? known : inputs.push(from) - 1
  }
  // `--link` asks for a layer that does not depend on the base. It is copied onto the base all the same: what a folder
  // in between looks like (`/tmp`) is only known there.
  const root = input(stage.state)
  const mode = (one.chmod === undefined ? '' : stage.expand(one.chmod)) || undefined
  if (mode !== undefined) checkMode(mode)
  const owner = ownerOf(chown)
  if (!stage.state) checkNumeric(owner, chown)
  const common = {
    action: 'copy' as const,
    ...(owner && { owner }),
    ...(mode !== undefined && { mode }),
    exclude: one.exclude,
    parents: one.parents,
  }
  const from = one.from === undefined ? undefined : await stage.source(stage.expand(one.from), one.range)
  const local = sources.filter(source => one.name === 'COPY' || !remoteOf(source))
  const context = one.from === undefined && local.length > 0 ? stage.contextVertex() : from
  const actions: FileAction[] = []
  for (const written of sources) {
    const remote = one.name === 'ADD' ? remoteSource(stage, one, written, checksum, destination) : undefined
    if (remote) {
      actions.push({
        ...common,
        from: input(remote.vertex),
        source: remote.source,
        destination,
        unpack: remote.unpack,
        allowEmpty: false,
      })
      continue
    }
    if (checksum !== undefined) throw invalid('checksum requires HTTP(S) or Git sources')
    const unpack = one.name === 'ADD' && (one.unpack ?? true)
    actions.push({
      ...common,
      from: input(context),
      source: sourcePath(written, one),
      destination,
      unpack,
      allowEmpty: hasWildcard(written),
    })
  }
  for (const doc of one.heredocs) {
    const raw = heredocText(doc)
    const content = doc.expand ? stage.expandDocument(raw) : raw
    const file = destination.endsWith('/') ? path.posix.join(destination, doc.name) : destination
    actions.push({
      action: 'mkfile',
      path: file,
      mode: mode !== undefined && /^[0-7]+$/.test(mode) ? Number.parseInt(mode, 8) : 0o644,
      content,
      ...(owner && { owner }),
    })
  }
  const op: FileOp = { kind: 'file', root, actions }
  stage.advance(op, inputs, one)
  stage.record(copyText(one, sources, destinationText(stage, one), chown, mode), true)
}

function destinationText(stage: StageBuilder, one: CopyInstruction): string {
  return stage.expand(one.destination)
}

function destinationOf(stage: StageBuilder, one: CopyInstruction): string {
  const written = stage.expand(one.destination)
  const folder = written.endsWith('/') || written.endsWith('/.') || written === '.' || written === ''
  const absolute = path.posix.resolve(stage.config.WorkingDir || '/', written)
  return folder && absolute !== '/' ? `${absolute}/` : absolute
}

/** From the root of the context; `..` leads nowhere. With `--parents` the pivot `/./` stays. */
function sourcePath(written: string, one: CopyInstruction): string {
  if (!one.parents) return path.posix.join('/', written)
  const pivot = written.indexOf('/./')
  if (pivot < 0) return `/./${path.posix.join('/', written).slice(1)}`
  const before = path.posix.join('/', written.slice(0, pivot))
  return `${before === '/' ? '' : before}/.${path.posix.join('/', written.slice(pivot + 3))}`
}

const remoteOf = (source: string): boolean => isHttpUrl(source) || parseGitUrl(source) !== undefined

function remoteSource(
  stage: StageBuilder,
  one: CopyInstruction,
  source: string,
  checksum: string | undefined,
  destination: string,
): { vertex: Vertex; source: string; unpack: boolean } | undefined {
  const git = parseGitUrl(source)
  if (git) {
    const op = {
      kind: 'git' as const,
      ...git,
      keepGitDir: one.keepGitDir ?? git.keepGitDir ?? false,
      ...(checksum !== undefined && { checksum }),
    }
    return { vertex: vertex(op, [], { name: `[git] ${source}` }), source: '/', unpack: false }
  }
  if (!isHttpUrl(source)) return undefined
  if (one.keepGitDir) throw invalid('--keep-git-dir is only for git repositories')
  const filename = filenameOf(source, destination)
  if (checksum !== undefined) parseDigest(checksum)
  const op = {
    kind: 'http' as const,
    url: source,
    filename,
    ...(checksum !== undefined && { checksum: checksum as Digest }),
  }
  const loaded = vertex(op, [], { name: source, ignoreCache: stage.ignoreCache })
  return { vertex: loaded, source: `/${filename}`, unpack: one.unpack ?? false }
}

function filenameOf(url: string, destination: string): string {
  const name = path.posix.basename(decodeURIComponent(new URL(url).pathname))
  if (name && name !== '/') return name
  if (destination.endsWith('/')) throw invalid(`cannot determine filename for source ${JSON.stringify(url)}`)
  return path.posix.basename(destination)
}

function checkMode(mode: string): void {
  if (!isMode(mode)) {
    throw invalid(`invalid chmod parameter: '${mode}'. it should be octal string and between 0 and 07777`)
  }
}

/** Names are looked up in the stage's own files. */
function checkNumeric(owner: Owner | undefined, chown: string | undefined): void {
  const isNamed = [owner?.user, owner?.group].some(part => part && !/^(root|\d+)$/.test(part))
  if (isNamed) throw invalid(`cannot look up --chown=${chown}: the stage has no files yet, so no /etc/passwd`)
}

function copyText(
  one: CopyInstruction,
  sources: string[],
  destination: string,
  chown: string | undefined,
  mode: string | undefined,
): string {
  const flags = [...(chown ? [`--chown=${chown}`] : []), ...(mode ? [`--chmod=${mode}`] : [])]
  const documents = one.heredocs.map(doc => `<<${doc.name}`)
  return `${[one.name, ...flags, ...sources, ...documents, destination].join(' ')} # buildkit`
}
