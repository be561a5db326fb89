/** One build, from its request to its result. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { invalid } from '../errors.ts'
import type { Digest, Platform } from '../image/types.ts'
import type { BuilderOptions } from './builder.ts'
import { Caches } from './cache/caches.ts'
import { CacheImportError } from './cache/imported.ts'
import { Checks, faultyResult } from './checks.ts'
import type { Contexts } from './contexts.ts'
import { type Definition, loadDefinition } from './definition.ts'
import { DockerfileError } from './dockerfile/errors.ts'
import type { ExportContext } from './export/image.ts'
import { writeOutputs } from './export/outputs.ts'
import { outlineOf, targetsOf } from './outline.ts'
import { type Converted, type ConvertOptions, convert } from './plan/convert.ts'
import { flatten, type Vertex } from './plan/ops.ts'
import { formatPlatform, hostPlatform } from './plan/platform.ts'
import type { BuildRequest, BuildResult, NamedContext } from './request.ts'
import type { Results } from './results.ts'
import { failedVertex } from './solve/failures.ts'
import type { Layers } from './solve/layers.ts'
import type { OnProgress } from './solve/progress.ts'
import type { BuildSession, LocalFolder } from './solve/session.ts'
import type { Solver } from './solve/solver.ts'
import type { Solving } from './solve/solving.ts'
import type { ImageSource } from './sources/images.ts'
import { importLayout } from './sources/layout.ts'
import { Steps } from './steps.ts'

/** Files of the host that say which foreign platforms have an interpreter. */
const BINFMT = '/proc/sys/fs/binfmt_misc'

export interface BuildParts {
  options: BuilderOptions
  contexts: Contexts
  layers: Layers
  solver: Solver
  images: ImageSource
  exporting: ExportContext
  scratch: string
  results: Results
}

type Resolve = ConvertOptions['resolveImage']

export class Build {
  readonly #parts: BuildParts
  readonly #id: string
  readonly #request: BuildRequest
  readonly #signal: AbortSignal
  readonly #onProgress: OnProgress
  readonly #steps: Steps
  readonly #locals = new Map<string, LocalFolder>()
  /** Let go of images that are here for this build only. */
  readonly #lent: (() => void)[] = []
  readonly #resolved = new Map<string, ReturnType<ImageSource['resolve']>>()

  constructor(
    parts: BuildParts,
    id: string,
    request: BuildRequest,
    signal: AbortSignal,
    onProgress: OnProgress,
  ) {
    this.#parts = parts
    this.#id = id
    this.#request = request
    this.#signal = signal
    this.#onProgress = onProgress
    this.#steps = new Steps(onProgress, id)
  }

  get #epoch(): number | undefined {
    const { epoch, buildArgs } = this.#request
    const written = buildArgs?.['SOURCE_DATE_EPOCH']
    if (epoch !== undefined || !written) return epoch
    if (!/^\d+$/.test(written)) throw invalid(`invalid SOURCE_DATE_EPOCH: ${written}`)
    return Number(written)
  }

  async run(): Promise<BuildResult> {
    const caches = new Caches({
      parts: this.#parts,
      request: this.#request,
      steps: this.#steps,
      signal: this.#signal,
      epoch: this.#epoch,
    })
    const session = this.#session()
    const solving = this.#parts.solver.begin(session)
    let definition: Definition | undefined
    try {
      definition = await loadDefinition({
        request: this.#request,
        contexts: this.#parts.contexts,
        layers: this.#parts.layers,
        solving,
        steps: this.#steps,
        signal: this.#signal,
        locals: this.#locals,
        fromClient: (name, only) => this.#fromClient(name, only),
        scratch: this.#parts.scratch,
        lentImage: one => this.#lentImage(one),
      })
      const checks = new Checks(definition, this.#request)
      if (this.#request.describe) return await this.#describe(this.#request.describe, checks)
      if (this.#request.check) {
        const resolve: Resolve = (ref, wanted) => this.#parts.images.known(ref, wanted)
        await checks.attempt(() => this.#convert(checks, resolve))
        return checks.result(this.#id)
      }
      const imported = await caches.import()
      const converted = await this.#convert(checks, (ref, wanted) => this.#resolve(ref, wanted))
      const warnings = checks.warnings
      this.#tellWarnings(definition, warnings)
      checks.throwIfErrors()
      const result = await this.#withCache(imported && { ...session, imported }, solving, one =>
        this.#solve(converted, one, caches),
      )
      return { id: this.#id, warnings, ...result }
    } catch (error) {
      if (definition) attachSource(error, definition)
      if (this.#request.check) return faultyResult(this.#id, error)
      throw error
    } finally {
      solving.release()
      caches.release()
      for (const folder of this.#locals.values()) folder.release()
      for (const forget of this.#lent) forget()
    }
  }

  async #describe(what: 'outline' | 'targets', checks: Checks): Promise<BuildResult> {
    const { dockerfile, filename } = checks.definition
    const result = {
      id: this.#id,
      images: [],
      warnings: [],
      metadata: {},
      source: { filename, text: dockerfile.text },
    }
    if (what === 'targets') return { ...result, targets: targetsOf(dockerfile) }
    const [planned] = await this.#convert(checks, (ref, wanted) => this.#parts.images.known(ref, wanted))
    return { ...result, outline: outlineOf(dockerfile, this.#request.target, planned!.parameters) }
  }

  async #lentImage(one: Extract<NamedContext, { kind: 'layout' | 'result' }>): Promise<Digest> {
    const { options, exporting, results } = this.#parts
    const [platform = hostPlatform] = this.#request.platforms ?? []
    const { id, forget } =
      one.kind === 'layout'
        ? await importLayout(options.images, one.blobs, one.digest, platform)
        : await results.lend(one.build, platform, options.images, exporting, this.#signal)
    this.#lent.push(forget)
    return id
  }

  /** `work` with what other engines made; once more without it where that was not what it should be. */
  async #withCache<T>(
    session: BuildSession | undefined,
    plain: Solving,
    work: (solving: Solving) => Promise<T>,
  ): Promise<T> {
    if (!session) return work(plain)
    const solving = this.#parts.solver.begin(session)
    try {
      return await work(solving)
    } catch (error) {
      if (!(error instanceof CacheImportError)) throw error
      this.#parts.options.logger?.warn('build cache refused', { error: error.message })
    } finally {
      solving.release()
    }
    return work(plain)
  }

  async #solve(
    converted: Converted[],
    solving: Solving,
    caches: Caches,
  ): Promise<Omit<BuildResult, 'id' | 'warnings'>> {
    const vertices = flatten(converted.flatMap(one => one.vertex ?? []))
    this.#request.onPlan?.(converted.flatMap(one => one.steps))
    for (const vertex of vertices) checkRunnable(vertex)
    solving.announce(vertices)
    const solved = await Promise.all(
      converted.map(async one => ({ converted: one, root: await solving.root(one.vertex) })),
    )
    const result = await writeOutputs({
      ...this.#parts,
      request: this.#request,
      steps: this.#steps,
      signal: this.#signal,
      epoch: this.#epoch,
      solved,
      configFields: root => caches.inline(root, solving.traces),
    })
    this.#parts.results.keep(this.#id, solved)
    const roots = solved.map(({ root }) => root)
    Object.assign(result.metadata, await caches.export(roots, solving.traces))
    return result
  }

  #session(): BuildSession {
    const { request, signal, epoch } = { request: this.#request, signal: this.#signal, epoch: this.#epoch }
    return {
      signal,
      onProgress: this.#onProgress,
      ...(epoch !== undefined && { epoch }),
      local: async wanted => {
        const known = this.#locals.get(wanted.name)
        if (known) return { ...known, release() {} }
        if (!request.local) throw invalid(`no local sources enabled for ${wanted.name}`)
        return request.local(wanted)
      },
      secret: async id => request.secret?.(id),
      ssh: async id => request.ssh?.(id),
    }
  }

  #fromClient(name: string, only: string[]): Promise<LocalFolder> {
    const { local } = this.#request
    if (!local) throw invalid(`no local sources enabled for ${name}`)
    return local({ name, exclude: [], only, signal: this.#signal, onProgress() {} })
  }

  async #convert(checks: Checks, resolveImage: Resolve): Promise<Converted[]> {
    const request = this.#request
    const platforms = request.platforms?.length ? request.platforms : [hostPlatform]
    const { dockerfile, context, contexts } = checks.definition
    const args = request.buildArgs ?? {}
    const hostname = request.hostname ?? args['BUILDKIT_SANDBOX_HOSTNAME']
    const cacheNamespace = args['BUILDKIT_CACHE_MOUNT_NS']
    return Promise.all(
      platforms.map(platform =>
        convert({
          dockerfile,
          context,
          contexts,
          ...(request.target !== undefined && { target: request.target }),
          args,
          labels: request.labels ?? {},
          platform,
          multiPlatform: platforms.length > 1,
          noCache: request.noCache || new Set(request.noCacheFilter ?? []),
          pull: request.pull ?? false,
          network: request.network ?? 'default',
          extraHosts: request.extraHosts ?? [],
          ulimits: request.ulimits ?? [],
          ...(request.shmSize && { shmSize: request.shmSize }),
          ...(request.cgroupParent && { cgroupParent: request.cgroupParent }),
          ...(hostname && { hostname }),
          ...(cacheNamespace && { cacheNamespace }),
          ...(request.limits && { limits: request.limits }),
          ...(request.entitlements && { entitlements: new Set(request.entitlements) }),
          onUndefined: checks.onUndefined,
          resolveImage,
        }),
      ),
    )
  }

  #resolve(ref: string, platform: Platform): ReturnType<ImageSource['resolve']> {
    const key = `${ref} ${formatPlatform(platform)}`
    const known = this.#resolved.get(key)
    if (known) return known
    const { pull = false, auth = async () => undefined } = this.#request
    const found = this.#steps.run(`[internal] load metadata for ${canonicalText(ref)}`, () =>
      this.#parts.images.resolve({ ref, platform, pull, auth, signal: this.#signal }),
    )
    this.#resolved.set(key, found)
    return found
  }

  #tellWarnings(definition: Definition, warnings: BuildResult['warnings']): void {
    for (const { rule, detail, description, url, range } of warnings) {
      this.#onProgress({
        type: 'warning',
        vertex: `sha256:${'0'.repeat(64)}`,
        level: 1,
        short: `${rule}: ${detail} (line ${range.start})`,
        detail: [description],
        url,
        file: definition.filename,
        source: definition.dockerfile.text,
        ranges: [range],
      })
    }
  }
}

/** The file's name and text, for whoever shows an excerpt. */
function attachSource(error: unknown, { filename, dockerfile }: Definition): void {
  if (!(error instanceof Error)) return
  const range = failedVertex(error)?.range
  Object.assign(error, { filename, source: dockerfile.text, ...(range && !('range' in error) && { range }) })
}

/** A step of a foreign platform needs an interpreter on this host. */
function checkRunnable({ op, platform, range }: Vertex): void {
  if (op.kind !== 'exec' || !platform || isNative(platform)) return
  const names: Record<string, string> = { amd64: 'x86_64', arm64: 'aarch64', '386': 'i386' }
  const name = names[platform.architecture] ?? platform.architecture
  if (fs.existsSync(path.join(BINFMT, `qemu-${name}`))) return
  throw new DockerfileError(
    `cannot run ${formatPlatform(platform)} here: this host has no binfmt_misc interpreter for it (qemu-${name})`,
    range,
  )
}

const isNative = ({ architecture }: Platform): boolean =>
  architecture === hostPlatform.architecture ||
  (architecture === '386' && hostPlatform.architecture === 'amd64')

function canonicalText(ref: string): string {
  if (ref.includes('/') && /[.:]/.test(ref.split('/')[0]!)) return withTag(ref)
  return withTag(ref.includes('/') ? `docker.io/${ref}` : `docker.io/library/${ref}`)
}

const withTag = (ref: string): string => (/[:@][^/]*$/.test(ref) ? ref : `${ref}:latest`)
