/** `HostConfig` of a container: what it is asked of this host, its limits last. */
import type {
  DeviceMapping,
  DeviceRequest,
  HostSpec,
  LogConfig,
  MountSpec,
  PortBinding,
  Resources,
  RestartPolicy,
  ThrottleDevice,
  Ulimit,
} from '../../engine/types.ts'
import {
  bool,
  type Codec,
  field,
  int,
  int64,
  list,
  map,
  mismatch,
  nullable,
  object,
  string,
  stringOrStrings,
  strings,
  uint64,
  words,
} from './codec.ts'

export const restartPolicy = object<RestartPolicy>('container.RestartPolicy', [
  field<RestartPolicy, 'name'>('Name', 'name', words()),
  field<RestartPolicy, 'maximumRetryCount'>('MaximumRetryCount', 'maximumRetryCount', int),
])

/** Docker's clients leave out what is zero; the domain has both fields. */
const wholeRestartPolicy: Codec<RestartPolicy> = {
  ...restartPolicy,
  decode: (value, path) => {
    const { name = '', maximumRetryCount = 0 } = restartPolicy.decode(value, path) as Partial<RestartPolicy>
    return { name, maximumRetryCount }
  },
}

const logConfig = object<LogConfig>('container.LogConfig', [
  field<LogConfig, 'type'>('Type', 'type', string),
  field<LogConfig, 'options'>('Config', 'options', map(string)),
])
const wholeLogConfig: Codec<LogConfig> = {
  ...logConfig,
  decode: (value, path) => {
    const { type = '', options = {} } = logConfig.decode(value, path) as Partial<LogConfig>
    return { type, options }
  },
}

const portBinding = object<PortBinding>('nat.PortBinding', [
  field<PortBinding, 'hostIp'>('HostIp', 'hostIp', string),
  field<PortBinding, 'hostPort'>('HostPort', 'hostPort', string),
])
const wholePortBinding: Codec<PortBinding> = {
  ...portBinding,
  decode: (value, path) => {
    const { hostIp = '', hostPort = '' } = portBinding.decode(value, path) as Partial<PortBinding>
    return { hostIp, hostPort }
  },
}

/** By `80/tcp`. */
export const portBindings = map(list(wholePortBinding))

type Bind = NonNullable<MountSpec['bind']>
type VolumeOptions = NonNullable<MountSpec['volume']>
type VolumeDriver = NonNullable<VolumeOptions['driver']>
type Tmpfs = NonNullable<MountSpec['tmpfs']>
type ImageOptions = NonNullable<MountSpec['image']>
const omit = { omit: true }

export const mount = object<MountSpec>('mount.Mount', [
  field<MountSpec, 'type'>('Type', 'type', words(), omit),
  field<MountSpec, 'source'>('Source', 'source', string, omit),
  field<MountSpec, 'target'>('Target', 'target', string, omit),
  field<MountSpec, 'readOnly'>('ReadOnly', 'readOnly', bool, omit),
  field<MountSpec, 'consistency'>('Consistency', 'consistency', string, omit),
  field<MountSpec, 'bind'>(
    'BindOptions',
    'bind',
    object<Bind>('mount.BindOptions', [
      field<Bind, 'propagation'>('Propagation', 'propagation', string, omit),
      field<Bind, 'nonRecursive'>('NonRecursive', 'nonRecursive', bool, omit),
      field<Bind, 'createMountpoint'>('CreateMountpoint', 'createMountpoint', bool, omit),
      field<Bind, 'readOnlyNonRecursive'>('ReadOnlyNonRecursive', 'readOnlyNonRecursive', bool, omit),
      field<Bind, 'readOnlyForceRecursive'>('ReadOnlyForceRecursive', 'readOnlyForceRecursive', bool, omit),
    ]),
    omit,
  ),
  field<MountSpec, 'volume'>(
    'VolumeOptions',
    'volume',
    object<VolumeOptions>('mount.VolumeOptions', [
      field<VolumeOptions, 'noCopy'>('NoCopy', 'noCopy', bool, omit),
      field<VolumeOptions, 'labels'>('Labels', 'labels', map(string), omit),
      field<VolumeOptions, 'subpath'>('Subpath', 'subpath', string, omit),
      field<VolumeOptions, 'driver'>(
        'DriverConfig',
        'driver',
        object<VolumeDriver>('mount.Driver', [
          field<VolumeDriver, 'name'>('Name', 'name', string, omit),
          field<VolumeDriver, 'options'>('Options', 'options', map(string), omit),
        ]),
        omit,
      ),
    ]),
    omit,
  ),
  field<MountSpec, 'tmpfs'>(
    'TmpfsOptions',
    'tmpfs',
    object<Tmpfs>('mount.TmpfsOptions', [
      field<Tmpfs, 'sizeBytes'>('SizeBytes', 'sizeBytes', int64, omit),
      field<Tmpfs, 'mode'>('Mode', 'mode', int, omit),
      field<Tmpfs, 'options'>('Options', 'options', list(strings), omit),
    ]),
    omit,
  ),
  field<MountSpec, 'image'>(
    'ImageOptions',
    'image',
    object<ImageOptions>('mount.ImageOptions', [
      field<ImageOptions, 'subpath'>('Subpath', 'subpath', string, omit),
    ]),
    omit,
  ),
])

type WeightDevice = NonNullable<Resources['blkioWeightDevice']>[number]
const weightDevice = object<WeightDevice>('blkiodev.WeightDevice', [
  field<WeightDevice, 'path'>('Path', 'path', string),
  field<WeightDevice, 'weight'>('Weight', 'weight', int),
])
const throttle = object<ThrottleDevice>('blkiodev.ThrottleDevice', [
  field<ThrottleDevice, 'path'>('Path', 'path', string),
  field<ThrottleDevice, 'rate'>('Rate', 'rate', uint64),
])
const device = object<DeviceMapping>('container.DeviceMapping', [
  field<DeviceMapping, 'pathOnHost'>('PathOnHost', 'pathOnHost', string),
  field<DeviceMapping, 'pathInContainer'>('PathInContainer', 'pathInContainer', string),
  field<DeviceMapping, 'permissions'>('CgroupPermissions', 'permissions', string),
])
const deviceRequest = object<DeviceRequest>('container.DeviceRequest', [
  field<DeviceRequest, 'driver'>('Driver', 'driver', string),
  field<DeviceRequest, 'count'>('Count', 'count', int),
  field<DeviceRequest, 'deviceIds'>('DeviceIDs', 'deviceIds', strings),
  field<DeviceRequest, 'capabilities'>('Capabilities', 'capabilities', list(strings)),
  field<DeviceRequest, 'options'>('Options', 'options', map(string)),
])
const ulimit = object<Ulimit>('units.Ulimit', [
  field<Ulimit, 'name'>('Name', 'name', string),
  field<Ulimit, 'hard'>('Hard', 'hard', int64),
  field<Ulimit, 'soft'>('Soft', 'soft', int64),
])

/** Docker's CLI sends the size as `[rows, columns]`. */
const consoleSize: Codec<[number, number]> = {
  goType: '[2]uint',
  zero: [0, 0],
  decode(value, path) {
    if (!Array.isArray(value)) mismatch(value, path, this.goType)
    const [rows = 0, columns = 0] = value
    return [Number(rows), Number(columns)]
  },
  encode: value => value,
}

type R = Resources
export const resourceFields = [
  field<R, 'cpuShares'>('CpuShares', 'cpuShares', int64),
  field<R, 'memory'>('Memory', 'memory', int64),
  field<R, 'nanoCpus'>('NanoCpus', 'nanoCpus', int64),
  field<R, 'cgroupParent'>('CgroupParent', 'cgroupParent', string),
  field<R, 'blkioWeight'>('BlkioWeight', 'blkioWeight', int),
  field<R, 'blkioWeightDevice'>('BlkioWeightDevice', 'blkioWeightDevice', list(weightDevice)),
  field<R, 'blkioDeviceReadBps'>('BlkioDeviceReadBps', 'blkioDeviceReadBps', list(throttle)),
  field<R, 'blkioDeviceWriteBps'>('BlkioDeviceWriteBps', 'blkioDeviceWriteBps', list(throttle)),
  field<R, 'blkioDeviceReadIops'>('BlkioDeviceReadIOps', 'blkioDeviceReadIops', list(throttle)),
  field<R, 'blkioDeviceWriteIops'>('BlkioDeviceWriteIOps', 'blkioDeviceWriteIops', list(throttle)),
  field<R, 'cpuPeriod'>('CpuPeriod', 'cpuPeriod', int64),
  field<R, 'cpuQuota'>('CpuQuota', 'cpuQuota', int64),
  field<R, 'cpuRealtimePeriod'>('CpuRealtimePeriod', 'cpuRealtimePeriod', int64),
  field<R, 'cpuRealtimeRuntime'>('CpuRealtimeRuntime', 'cpuRealtimeRuntime', int64),
  field<R, 'cpusetCpus'>('CpusetCpus', 'cpusetCpus', string),
  field<R, 'cpusetMems'>('CpusetMems', 'cpusetMems', string),
  field<R, 'devices'>('Devices', 'devices', list(device)),
  field<R, 'deviceCgroupRules'>('DeviceCgroupRules', 'deviceCgroupRules', strings),
  field<R, 'deviceRequests'>('DeviceRequests', 'deviceRequests', list(deviceRequest)),
  field<R, 'kernelMemory'>('KernelMemory', 'kernelMemory', int64, omit),
  field<R, 'kernelMemoryTcp'>('KernelMemoryTCP', 'kernelMemoryTcp', int64, omit),
  field<R, 'memoryReservation'>('MemoryReservation', 'memoryReservation', int64),
  field<R, 'memorySwap'>('MemorySwap', 'memorySwap', int64),
  field<R, 'memorySwappiness'>('MemorySwappiness', 'memorySwappiness', nullable(int64)),
  field<R, 'oomKillDisable'>('OomKillDisable', 'oomKillDisable', nullable(bool)),
  field<R, 'pidsLimit'>('PidsLimit', 'pidsLimit', nullable(int64)),
  field<R, 'ulimits'>('Ulimits', 'ulimits', list(ulimit)),
]

export const resources = object<Resources>('container.Resources', resourceFields)

type H = HostSpec
/** What only Windows has, which inspect shows all the same. */
const windows = { CpuCount: 0, CpuPercent: 0, IOMaximumIOps: 0, IOMaximumBandwidth: 0 }
const table = object<HostSpec>('container.HostConfig', [
  field<H, 'binds'>('Binds', 'binds', strings),
  field<H, 'containerIdFile'>('ContainerIDFile', 'containerIdFile', string),
  field<H, 'logConfig'>('LogConfig', 'logConfig', wholeLogConfig),
  field<H, 'networkMode'>('NetworkMode', 'networkMode', string),
  field<H, 'portBindings'>('PortBindings', 'portBindings', portBindings),
  field<H, 'restartPolicy'>('RestartPolicy', 'restartPolicy', wholeRestartPolicy),
  field<H, 'autoRemove'>('AutoRemove', 'autoRemove', bool),
  field<H, 'volumeDriver'>('VolumeDriver', 'volumeDriver', string),
  field<H, 'volumesFrom'>('VolumesFrom', 'volumesFrom', strings),
  field<H, 'consoleSize'>('ConsoleSize', 'consoleSize', consoleSize),
  field<H, 'annotations'>('Annotations', 'annotations', map(string), omit),
  field<H, 'capAdd'>('CapAdd', 'capAdd', stringOrStrings),
  field<H, 'capDrop'>('CapDrop', 'capDrop', stringOrStrings),
  field<H, 'cgroupnsMode'>('CgroupnsMode', 'cgroupnsMode', words()),
  field<H, 'dns'>('Dns', 'dns', strings),
  field<H, 'dnsOptions'>('DnsOptions', 'dnsOptions', strings),
  field<H, 'dnsSearch'>('DnsSearch', 'dnsSearch', strings),
  field<H, 'extraHosts'>('ExtraHosts', 'extraHosts', strings),
  field<H, 'groupAdd'>('GroupAdd', 'groupAdd', strings),
  field<H, 'ipcMode'>('IpcMode', 'ipcMode', string),
  field<H, 'cgroup'>('Cgroup', 'cgroup', string),
  field<H, 'links'>('Links', 'links', strings),
  field<H, 'oomScoreAdj'>('OomScoreAdj', 'oomScoreAdj', int),
  field<H, 'pidMode'>('PidMode', 'pidMode', string),
  field<H, 'privileged'>('Privileged', 'privileged', bool),
  field<H, 'publishAllPorts'>('PublishAllPorts', 'publishAllPorts', bool),
  field<H, 'readonlyRootfs'>('ReadonlyRootfs', 'readonlyRootfs', bool),
  field<H, 'securityOpt'>('SecurityOpt', 'securityOpt', strings),
  field<H, 'storageOpt'>('StorageOpt', 'storageOpt', map(string), omit),
  field<H, 'tmpfs'>('Tmpfs', 'tmpfs', map(string), omit),
  field<H, 'utsMode'>('UTSMode', 'utsMode', string),
  field<H, 'usernsMode'>('UsernsMode', 'usernsMode', string),
  field<H, 'shmSize'>('ShmSize', 'shmSize', int64),
  field<H, 'sysctls'>('Sysctls', 'sysctls', map(string), omit),
  field<H, 'runtime'>('Runtime', 'runtime', string),
  field<H, 'isolation'>('Isolation', 'isolation', string),
  ...resourceFields,
  field<H, 'mounts'>('Mounts', 'mounts', list(mount), omit),
  field<H, 'maskedPaths'>('MaskedPaths', 'maskedPaths', strings),
  field<H, 'readonlyPaths'>('ReadonlyPaths', 'readonlyPaths', strings),
  field<H, 'init'>('Init', 'init', nullable(bool), omit),
])

export const hostConfig: typeof table = {
  ...table,
  encode: value => ({ ...table.encode(value), ...windows }),
}
