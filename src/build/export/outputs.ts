/** Writes what a build came to where it was asked for. */
import * as fs from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { invalid } from '../../errors.ts'
import { digestOf } from '../../image/digest.ts'
import { familiar, parseReference, type Reference, withDefaultTag } from '../../image/reference.ts'
import type { Digest, Image } from '../../image/types.ts'
import type { BuildParts } from '../one-build.ts'
import type { Converted } from '../plan/convert.ts'
import { formatPlatform, hostPlatform } from '../plan/platform.ts'
import type { BuildRequest, BuildResult, Output } from '../request.ts'
import type { Root } from '../solve/root.ts'
import type { Steps, StepWatch } from '../steps.ts'
import { writeArchive, writeLayout } from './archive.ts'
import { fileChunks } from './file-chunks.ts'
import { exportImage } from './image.ts'
import { imageIndex, pushPlatforms } from './platforms.ts'

export interface OutputContext extends BuildParts {
  request: BuildRequest
  steps: Steps
  signal: AbortSignal
  epoch: number | undefined
  solved: { converted: Converted; root: Root }[]
  /** Further fields of the config of the image that a root becomes. */
  configFields: (root: Root) => Record<string, string>
}

type Written = Pick<BuildResult, 'images' | 'digest' | 'metadata'>

export async function writeOutputs(context: OutputContext): Promise<Written> {
  const outputs = context.request.outputs ?? [{ type: 'image', names: [] }]
  const lease = context.exporting.content.lease()
  const result: Written = { images: context.solved.map(plainResult), metadata: {} }
  try {
    let images: Image[] | undefined
    for (const output of outputs) {
      if (output.type === 'none') continue
      const title = TITLES[output.type]
      await context.steps.run(title, async watch => {
        if (output.type === 'local') return writeLocal(context, output)
        if (output.type === 'tar') return writeTar(context, output)
        images ??= await watch.part('exporting layers', () => makeImages(context, lease))
        await writeImages(context, output, images, result, watch)
      })
    }
    return result
  } finally {
    lease.release()
  }
}

const TITLES: Record<Exclude<Output['type'], 'none'>, string> = {
  image: 'exporting to image',
  local: 'exporting to client directory',
  tar: 'exporting to client tarball',
  oci: 'exporting to oci image format',
  docker: 'exporting to docker image format',
}

const plainResult = ({ converted }: { converted: Converted }): BuildResult['images'][number] => ({
  platform: converted.platform,
  config: converted.config,
})

async function makeImages(
  context: OutputContext,
  lease: { add(digest: Digest): void; release(): void },
): Promise<Image[]> {
  const images: Image[] = []
  const outputs = context.request.outputs ?? []
  const annotations = Object.assign({}, ...outputs.map(one => ('annotations' in one ? one.annotations : {})))
  for (const { converted, root } of context.solved) {
    images.push(
      await exportImage(context.exporting, {
        root,
        config: converted.config,
        extra: context.configFields(root),
        annotations,
        lease,
        signal: context.signal,
        ...(context.epoch !== undefined && { epoch: context.epoch }),
      }),
    )
  }
  return images
}

async function writeImages(
  context: OutputContext,
  output: Extract<Output, { type: 'image' } | { type: 'oci' | 'docker' }>,
  images: Image[],
  result: Written,
  watch: StepWatch,
): Promise<void> {
  const references = output.names.map(name => withDefaultTag(parseReference(name)))
  const platforms = context.solved.map(({ converted }) => converted.platform)
  const index = images.length > 1 ? imageIndex(images, platforms) : undefined
  result.digest = index ? digestOf(index) : images[0]!.digest
  result.metadata['containerimage.digest'] = result.digest
  result.metadata['containerimage.config.digest'] = images[0]!.manifest.config.digest
  if (references.length > 0) result.metadata['image.name'] = output.names.join(',')
  if (output.type !== 'image' && output.layout) {
    const { layout } = output
    await watch.part('exporting to the OCI layout', async () => {
      const top = await writeLayout(layout, context.exporting.content, images, index)
      result.metadata['containerimage.descriptor'] = Buffer.from(JSON.stringify(top)).toString('base64')
    })
    return
  }
  if (output.type !== 'image') {
    await watch.part('sending tarball', async () => {
      const stream = await output.open()
      const tar = writeArchive({
        content: context.exporting.content,
        images,
        references,
        index,
        format: output.type,
      })
      await pipeline(tar, stream, { signal: context.signal })
    })
    return
  }
  await storeImages(context, output, images, references, result, watch)
}

async function storeImages(
  context: OutputContext,
  output: Extract<Output, { type: 'image' }>,
  images: Image[],
  references: Reference[],
  result: Written,
  watch: StepWatch,
): Promise<void> {
  if (output.store === false && !output.push) return
  if (images.length > 1 && output.push) {
    for (const reference of references) {
      const auth = await context.request.auth?.(reference.domain)
      await watch.part(`pushing ${canonicalText(reference)}`, async () => {
        result.digest = await pushPlatforms(context, images, reference, auth)
        result.metadata['containerimage.digest'] = result.digest
      })
    }
    return
  }
  const kept = await keptImage(context, images, watch)
  for (const [position, image] of images.entries()) {
    if (image !== kept) continue
    const id = image.manifest.config.digest
    await watch.part(`writing image ${id}`, () =>
      context.options.images.put(image, { references, signal: context.signal }),
    )
    result.images[position] = { ...result.images[position]!, image, imageId: id, config: image.config }
  }
  for (const reference of references)
    await watch.part(`naming to ${canonicalText(reference)}`, async () => {})
  if (!output.push) return
  const push = context.options.registries?.push
  if (!push) throw invalid('no registry to push to')
  for (const reference of references) {
    const auth = await context.request.auth?.(reference.domain)
    await watch.part(`pushing ${canonicalText(reference)}`, async () => {
      await push.call(context.options.registries, familiar(reference), {
        signal: context.signal,
        ...(auth && { auth }),
      })
    })
  }
}

/** The store has one image a name: of several platforms the host's own, where it is among them. */
async function keptImage(context: OutputContext, images: Image[], watch: StepWatch): Promise<Image> {
  const [first] = images
  if (images.length === 1) return first!
  const own = context.solved.findIndex(
    ({ converted }) => formatPlatform(converted.platform) === formatPlatform(hostPlatform),
  )
  const platform = formatPlatform(context.solved[Math.max(own, 0)]!.converted.platform)
  await watch.part(
    `keeping ${platform} only: --push and --output type=oci take all platforms`,
    async () => {},
  )
  return images[own] ?? first!
}

const canonicalText = ({ domain, path, tag = 'latest' }: Reference): string => `${domain}/${path}:${tag}`

/** The files of each root into a folder; several platforms get a folder each. */
async function writeLocal(context: OutputContext, output: Extract<Output, { type: 'local' }>): Promise<void> {
  const target = await output.open()
  try {
    for (const { converted, root } of context.solved) {
      const name = formatPlatform(converted.platform).replace(/\//g, '_')
      const place = context.solved.length > 1 ? `${target.path}/${name}` : target.path
      fs.mkdirSync(place, { recursive: true })
      await copyRoot(context, root, place)
    }
  } finally {
    await target.close()
  }
}

async function copyRoot(context: OutputContext, root: Root, place: string): Promise<void> {
  const from = await context.layers.mount(root)
  const into = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  const { epoch } = context
  try {
    const copy = { action: 'copy' as const, from: 0, source: '/', destination: '/' }
    const actions = [{ ...copy, exclude: [], parents: false, unpack: false, allowEmpty: true }]
    const times = epoch === undefined ? {} : { epoch }
    await context.exporting.files.run({ job: 'apply', rootFd: into, inputs: [from], actions, ...times })
  } finally {
    fs.closeSync(from)
    fs.closeSync(into)
  }
}

/** All files in one tar: a layer from nothing. */
async function writeTar(context: OutputContext, output: Extract<Output, { type: 'tar' }>): Promise<void> {
  const stream = await output.open()
  const [only] = context.solved
  if (context.solved.length > 1) throw invalid('tar output of several platforms: use --output type=local')
  const from = await context.layers.mount(only!.root)
  const file = context.exporting.content.ingestPath(undefined)
  const { epoch } = context
  try {
    const times = epoch === undefined ? {} : { epoch }
    await context.exporting.files.run({ job: 'tar', folder: `/proc/self/fd/${from}`, file, ...times })
    await pipeline(fileChunks(file), stream, { signal: context.signal })
  } finally {
    fs.closeSync(from)
    fs.rmSync(file, { force: true })
  }
}
