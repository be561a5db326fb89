/** How the engine describes itself on the wire. */
import type { SystemInfo, VersionInfo } from '../../engine/results.ts'
import { API_VERSION, MIN_API_VERSION } from '../version.ts'

export function encodeVersion(info: VersionInfo, experimental: boolean): Record<string, unknown> {
  const { version, gitCommit, platform, kernelVersion, buildTime } = info
  const common = { GitCommit: gitCommit, GoVersion: '', Os: platform.os, Arch: platform.architecture }
  return {
    Platform: { Name: 'Gantry' },
    Components: [
      {
        Name: 'Engine',
        Version: version,
        Details: {
          ApiVersion: API_VERSION,
          Arch: platform.architecture,
          BuildTime: buildTime,
          Experimental: String(experimental),
          GitCommit: gitCommit,
          GoVersion: '',
          KernelVersion: kernelVersion,
          MinAPIVersion: MIN_API_VERSION,
          Os: platform.os,
        },
      },
      ...info.components.map(component => ({
        Name: component.name,
        Version: component.version,
        Details: component.details,
      })),
    ],
    Version: version,
    ApiVersion: API_VERSION,
    MinAPIVersion: MIN_API_VERSION,
    ...common,
    KernelVersion: kernelVersion,
    ...(experimental && { Experimental: true }),
    BuildTime: buildTime,
  }
}

/** Docker always trusts its own host. */
const LOCAL = ['::1/128', '127.0.0.0/8']

export function encodeInfo(info: SystemInfo, api: number): Record<string, unknown> {
  const cidrs = info.insecureRegistries.filter(entry => entry.includes('/'))
  const hosts = info.insecureRegistries.filter(entry => !entry.includes('/'))
  const index = (name: string, official: boolean, secure: boolean) => ({
    Name: name,
    Mirrors: official ? info.registryMirrors : [],
    Official: official,
    Secure: secure,
  })
  return {
    ID: info.id,
    Containers: info.containers,
    ContainersRunning: info.containersRunning,
    ContainersPaused: info.containersPaused,
    ContainersStopped: info.containersStopped,
    Images: info.images,
    Driver: info.driver,
    DriverStatus: info.driverStatus,
    Plugins: {
      Volume: info.volumeDrivers,
      Network: info.networkDrivers,
      Authorization: null,
      Log: info.logDrivers,
    },
    MemoryLimit: info.memoryLimit,
    SwapLimit: info.swapLimit,
    CpuCfsPeriod: info.cpuCfsPeriod,
    CpuCfsQuota: info.cpuCfsQuota,
    CPUShares: info.cpuShares,
    CPUSet: info.cpuSet,
    PidsLimit: info.pidsLimit,
    IPv4Forwarding: info.ipv4Forwarding,
    ...(api < 50 && { BridgeNfIptables: false, BridgeNfIp6tables: false }),
    Debug: info.debug,
    NFd: info.fds,
    OomKillDisable: info.oomKillDisable,
    NGoroutines: 0,
    SystemTime: new Date().toISOString(),
    LoggingDriver: info.loggingDriver,
    CgroupDriver: info.cgroupDriver,
    CgroupVersion: info.cgroupVersion,
    NEventsListener: info.eventListeners,
    KernelVersion: info.kernelVersion,
    OperatingSystem: info.operatingSystem,
    OSVersion: info.osVersion,
    OSType: info.osType,
    Architecture: info.architecture,
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: {
      IndexConfigs: Object.fromEntries([
        ['docker.io', index('docker.io', true, true)],
        ...hosts.map(host => [host, index(host, false, false)]),
      ]),
      InsecureRegistryCIDRs: [...cidrs, ...LOCAL],
      Mirrors: info.registryMirrors.length > 0 ? info.registryMirrors : null,
    },
    NCPU: info.cpus,
    MemTotal: info.memory,
    GenericResources: null,
    DockerRootDir: info.dataRoot,
    HttpProxy: info.httpProxy,
    HttpsProxy: info.httpsProxy,
    NoProxy: info.noProxy,
    Name: info.name,
    Labels: info.labels,
    ExperimentalBuild: info.experimental,
    ServerVersion: info.version,
    Runtimes: Object.fromEntries(
      Object.entries(info.runtimes).map(([name, { path, runtimeArgs }]) => [
        name,
        { path, ...(runtimeArgs?.length && { runtimeArgs }) },
      ]),
    ),
    DefaultRuntime: info.defaultRuntime,
    Swarm: {
      NodeID: '',
      NodeAddr: '',
      LocalNodeState: 'inactive',
      ControlAvailable: false,
      Error: '',
      RemoteManagers: null,
    },
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: info.initBinary,
    ContainerdCommit: { ID: '' },
    RuncCommit: { ID: '' },
    InitCommit: { ID: '' },
    SecurityOptions: info.securityOptions,
    ...(api >= 49 && { FirewallBackend: { Driver: 'nftables' } }),
    CDISpecDirs: [],
    Warnings: info.warnings.length > 0 ? info.warnings : null,
  }
}
