/** The engine about itself and its host. */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import { cgroupSupport, cgroupWarnings, detectCgroups } from '../runtime/cgroup/index.ts'
import type { Containers } from './containers.ts'
import type { EngineContext } from './context.ts'
import type { Images } from './images.ts'
import { logDrivers } from './log-config.ts'
import { hostMemory } from './resources.ts'
import type { DiskUsage, SystemInfo, VersionInfo } from './results.ts'
import { BUILD_TIME, GIT_COMMIT, VERSION } from './version.ts'
import type { EngineVolumes } from './volumes.ts'

export type DiskUsageType = 'container' | 'image' | 'volume' | 'build-cache'

export class System {
  readonly #context: EngineContext
  readonly #containers: Containers
  readonly #images: Images
  readonly #volumes: EngineVolumes

  constructor(context: EngineContext, containers: Containers, images: Images, volumes: EngineVolumes) {
    this.#context = context
    this.#containers = containers
    this.#images = images
    this.#volumes = volumes
  }

  async info(): Promise<SystemInfo> {
    const { config, store, images, snapshots, dataRoot, events } = this.#context
    const support = cgroupSupport()
    const release = osRelease()
    const count = (...statuses: string[]) =>
      store.all().filter(container => statuses.includes(container.record.state.status)).length
    const paused = count('paused')
    const running = count('running', 'restarting')
    return {
      id: engineId(dataRoot),
      name: os.hostname(),
      containers: store.size,
      containersRunning: running,
      containersPaused: paused,
      containersStopped: store.size - running - paused,
      images: images.all().length,
      driver: snapshots.driver,
      driverStatus: driverStatus(snapshots.driver, dataRoot),
      dataRoot,
      memoryLimit: support.memoryLimit,
      swapLimit: support.swapLimit,
      cpuCfsPeriod: support.cpuCfs,
      cpuCfsQuota: support.cpuCfs,
      cpuShares: support.cpuShares,
      cpuSet: support.cpuset,
      pidsLimit: support.pidsLimit,
      oomKillDisable: support.oomKillDisable,
      ipv4Forwarding: read('/proc/sys/net/ipv4/ip_forward') === '1',
      debug: config.debug ?? false,
      fds: countFiles('/proc/self/fd'),
      eventListeners: events.listeners,
      loggingDriver: config.logConfig?.type || 'json-file',
      cgroupDriver: 'cgroupfs',
      cgroupVersion: detectCgroups().version === 2 ? '2' : '1',
      kernelVersion: os.release(),
      operatingSystem: release['PRETTY_NAME'] ?? 'Linux',
      osVersion: release['VERSION_ID'] ?? '',
      osType: 'linux',
      architecture: os.machine(),
      cpus: os.cpus().length,
      memory: hostMemory,
      httpProxy: proxy('HTTP_PROXY'),
      httpsProxy: proxy('HTTPS_PROXY'),
      noProxy: proxy('NO_PROXY'),
      labels: config.labels ?? [],
      experimental: config.experimental ?? false,
      version: VERSION,
      runtimes: { runc: { path: 'gantry-shim' }, ...config.runtimes },
      defaultRuntime: config.defaultRuntime ?? 'runc',
      securityOptions: securityOptions(config.seccompProfile, config.noNewPrivileges),
      initBinary: 'docker-init',
      logDrivers,
      volumeDrivers: ['local'],
      networkDrivers: ['bridge', 'host', 'ipvlan', 'macvlan', 'null'],
      registryMirrors: config.registryMirrors ?? [],
      insecureRegistries: config.insecureRegistries ?? [],
      warnings: cgroupWarnings(),
    }
  }

  version(): VersionInfo {
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch
    return {
      version: VERSION,
      gitCommit: GIT_COMMIT,
      platform: { os: 'linux', architecture },
      kernelVersion: os.release(),
      buildTime: BUILD_TIME,
      components: [{ name: 'node', version: process.version, details: {} }],
    }
  }

  /** Of the given types; all where absent. */
  async diskUsage(types?: DiskUsageType[]): Promise<DiskUsage> {
    const wants = (type: DiskUsageType) => !types?.length || types.includes(type)
    const [images, containers, volumes] = await Promise.all([
      wants('image') ? this.#images.list({ all: true, sharedSize: true }) : [],
      wants('container') ? this.#containers.list({ all: true, size: true }) : [],
      wants('volume') ? this.#volumes.usage() : [],
    ])
    return {
      layersSize: wants('image') ? this.#images.layersSize() : 0,
      images,
      containers,
      volumes,
      buildCache: [],
    }
  }
}

function osRelease(): Record<string, string> {
  const text = read('/etc/os-release') || read('/usr/lib/os-release')
  return Object.fromEntries(
    text
      .split('\n')
      .map(line => /^(\w+)="?(.*?)"?$/.exec(line))
      .filter(match => match !== null)
      .map(match => [match[1], match[2]]),
  )
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}

function countFiles(folder: string): number {
  return fs.readdirSync(folder).length
}

const proxy = (name: string): string => process.env[name] ?? process.env[name.toLowerCase()] ?? ''

function driverStatus(driver: string, dataRoot: string): [string, string][] {
  if (driver !== 'overlay2') return []
  const names: Record<number, string> = {
    61267: 'extfs',
    1481003842: 'xfs',
    2435016766: 'btrfs',
    16914836: 'tmpfs',
  }
  const type = fs.statfsSync(dataRoot).type
  return [
    ['Backing Filesystem', names[type] ?? '<unknown>'],
    ['Supports d_type', 'true'],
    ['Using metacopy', 'false'],
    ['Native Overlay Diff', 'true'],
    ['userxattr', 'false'],
  ]
}

function securityOptions(profile = 'builtin', noNewPrivileges = false): string[] {
  const options = [`name=seccomp,profile=${profile}`]
  if (detectCgroups().version === 2) options.push('name=cgroupns')
  if (noNewPrivileges) options.push('name=no-new-privileges')
  return options
}

/** The same for as long as the data root is there. */
function engineId(dataRoot: string): string {
  const hex = createHash('sha256')
    .update(`${read('/etc/machine-id')}\n${dataRoot}`)
    .digest('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  )
}
