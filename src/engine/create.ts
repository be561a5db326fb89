/** Creating a container: everything is checked before anything is made, and nothing stays of one that was not. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { invalid, notFound } from '../errors.ts'
import type { ImageRecord } from '../image/image-store.ts'
import { familiar, parseReference, withDefaultTag } from '../image/reference.ts'
import { defaultMaskedPaths, defaultReadonlyPaths } from '../runtime/build-spec.ts'
import { cgroupSupport, detectCgroups } from '../runtime/cgroup/index.ts'
import { hostFacts } from '../runtime/host.ts'
import { nowText } from './clock.ts'
import type { EngineContext } from './context.ts'
import { resolveLinks } from './links.ts'
import { checkLogConfig, mergeLogConfig } from './log-config.ts'
import { commandOf, mergeConfig } from './merge.ts'
import { resolveMounts } from './mounts.ts'
import { generateName, isValidName } from './names.ts'
import { networkContainer } from './network-request.ts'
import { logPathOf, pathsOf } from './paths.ts'
import { parseSecurityOptions } from './security.ts'
import { initialState } from './state.ts'
import type { ContainerRecord, ContainerSpec, HostSpec } from './types.ts'
import { validateSpec } from './validate.ts'
import { copyUp } from './volume-copy.ts'

export interface Created {
  id: string
  warnings: string[]
}

export async function createContainer(context: EngineContext, spec: ContainerSpec): Promise<Created> {
  const { store } = context
  const host: HostSpec = structuredClone(spec.host)
  if (spec.name !== undefined && spec.name !== '' && !isValidName(spec.name)) {
    throw invalid(`Invalid container name (${spec.name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`)
  }
  const warnings = validateSpec({ ...spec, host }, runtimeNames(context))
  const image = findImage(context, spec)
  const imageConfig = image?.image.config
  const config = mergeConfig(spec.config, imageConfig?.config)
  const command = commandOf(config)
  parseSecurityOptions(host.securityOpt ?? [])

  const id = randomBytes(32).toString('hex')
  const name = spec.name || generateName(candidate => store.isNameTaken(candidate))
  store.reserveName(name, id)
  const paths = pathsOf(context, id)
  try {
    applyHostDefaults(context, host)
    resolveReferences(context, host)
    if (host.links) host.links = resolveLinks(context, host.links)
    config.hostname ||= defaultHostname(context, host, id)
    const record: ContainerRecord = {
      version: 1,
      id,
      name,
      created: nowText(),
      config,
      host,
      imageId: image?.id ?? ('' as ContainerRecord['imageId']),
      ...(image && { imageManifest: image.image.digest }),
      ...(imageConfig && { imageConfig }),
      platform: {
        os: imageConfig?.os || 'linux',
        architecture: imageConfig?.architecture || spec.platform?.architecture || '',
        ...(imageConfig?.variant && { variant: imageConfig.variant }),
      },
      driver: context.snapshots.driver,
      mounts: [],
      networks: spec.networks ?? {},
      state: { ...initialState },
      ...command,
      logPath: logPathOf(paths.folder, id, host.logConfig!),
    }
    if (!joinsNetwork(host)) {
      record.networks = context.networks.complete(networkContainer(context, record))
      context.networks.validate(networkContainer(context, record))
    }
    fs.mkdirSync(paths.folder, { mode: 0o710 })
    const own = makeMounts(context, record)
    const snapshot = context.initLayers.below(
      await context.snapshots.prepare(paths.layer, image?.image.chain),
    )
    await copyUp(context, record, snapshot, own)
    const container = store.add(record)
    container.snapshot = snapshot
    for (const mount of record.mounts) {
      if (mount.type === 'volume') context.volumes.hold(mount.name!, id)
    }
    context.states.created(container)
    return { id, warnings }
  } catch (error) {
    store.releaseName(name)
    await context.snapshots.release(paths.layer).catch(() => {})
    store.discard(id)
    throw error
  }
}

/** Names that `--runtime` takes. */
export function runtimeNames({ config }: Pick<EngineContext, 'config'>): string[] {
  return ['gantry', 'runc', 'io.containerd.runc.v2', ...Object.keys(config.runtimes ?? {})]
}

function findImage(context: EngineContext, { config, platform }: ContainerSpec): ImageRecord | undefined {
  // An empty name is a container without an image: an empty root file system.
  if (config.image === '') return undefined
  const record = context.images.resolve(config.image)
  const own = record.image.config
  const differs =
    platform &&
    (platform.os !== own.os ||
      platform.architecture !== own.architecture ||
      (platform.variant && own.variant && platform.variant !== own.variant))
  if (differs) {
    const wanted = [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/')
    const actual = [own.os, own.architecture, own.variant].filter(Boolean).join('/')
    const name = familiar(withDefaultTag(parseReference(config.image)))
    throw notFound(
      `image with reference ${name} was found but its platform (${actual}) does not match the specified platform (${wanted})`,
    )
  }
  return record
}

/** What the daemon decides where the caller said nothing, as inspect shows it. */
function applyHostDefaults({ config }: EngineContext, host: HostSpec): void {
  host.logConfig = mergeLogConfig(host.logConfig, config.logConfig)
  checkLogConfig(host.logConfig)
  if (host.privileged || host.ipcMode === 'host' || host.pidMode === 'host') {
    if (!host.securityOpt?.length) host.securityOpt = ['label=disable']
  }
  if (!host.privileged) {
    host.maskedPaths ??= [...defaultMaskedPaths, ...hostFacts().thermalThrottlePaths]
    host.readonlyPaths ??= [...defaultReadonlyPaths]
  }
  host.networkMode ||= 'bridge'
  if (host.networkMode === 'default') host.networkMode = 'bridge'
  host.shmSize ||= config.defaultShmSize ?? 64 * 1024 * 1024
  host.ipcMode ||= config.defaultIpcMode ?? 'private'
  host.cgroupnsMode ||= config.defaultCgroupnsMode ?? (detectCgroups().version === 2 ? 'private' : 'host')
  host.runtime ||= config.defaultRuntime ?? 'runc'
  host.restartPolicy ??= { name: 'no', maximumRetryCount: 0 }
  host.restartPolicy.name ||= 'no'
  if (host.memory && host.memory > 0 && !host.memorySwap && cgroupSupport().swapLimit)
    host.memorySwap = host.memory * 2
}

/** `container:NAME` becomes `container:ID`, so that a rename changes nothing. Raises notFound. */
function resolveReferences({ store }: EngineContext, host: HostSpec): void {
  for (const key of ['networkMode', 'ipcMode', 'pidMode'] as const) {
    const mode = host[key]
    if (!mode?.startsWith('container:')) continue
    const ref = mode.slice('container:'.length)
    const target = store.find(ref)
    if (target) host[key] = `container:${target.id}`
    // Docker looks at the network's container only at start.
    else if (key !== 'networkMode') throw invalid(`No such container: ${ref}`)
  }
}

const joinsNetwork = (host: HostSpec): boolean => host.networkMode!.startsWith('container:')

function defaultHostname({ store }: EngineContext, host: HostSpec, id: string): string {
  if (joinsNetwork(host)) {
    return store.find(host.networkMode!.slice('container:'.length))?.record.config.hostname ?? id.slice(0, 12)
  }
  if (host.networkMode === 'host' || host.utsMode === 'host') return hostHostname()
  return id.slice(0, 12)
}

const hostHostname = (): string => fs.readFileSync('/proc/sys/kernel/hostname', 'utf8').trim()

/** Fills `record.mounts`. Answers the volumes that may want the image's content: all but other containers'. */
function makeMounts(context: EngineContext, record: ContainerRecord): Set<string> {
  const own = new Set<string>()
  record.mounts = resolveMounts(record.config, record.host, {
    createVolume(request) {
      const { record: volume, created } = context.volumes.create(request)
      own.add(volume.name)
      if (created) {
        context.events.emit('volume', 'create', volume.name, { driver: volume.driver })
      }
      return volume
    },
    dataPath: name => context.volumes.dataPath(name),
    mountsOf(ref) {
      const donor = context.store.find(ref)
      // Not "not found": clients would take that for the image, and pull it.
      if (!donor) throw invalid(`No such container: ${ref}`)
      return donor.record.mounts
    },
    imageId: ref => context.images.resolve(ref).id,
  })
  return own
}
