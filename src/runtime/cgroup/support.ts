/** What this kernel can limit, and Docker's words for what it cannot. */
import * as fs from 'node:fs'
import { type CgroupLayout, detectCgroups } from './layout.ts'

/** By the names of `GET /info`. */
export interface CgroupSupport {
  memoryLimit: boolean
  swapLimit: boolean
  memoryReservation: boolean
  memorySwappiness: boolean
  oomKillDisable: boolean
  kernelMemoryTcp: boolean
  cpuShares: boolean
  cpuCfs: boolean
  cpuRealtime: boolean
  cpuset: boolean
  pidsLimit: boolean
  blkioWeight: boolean
  blkioWeightDevice: boolean
  blkioReadBps: boolean
  blkioWriteBps: boolean
  blkioReadIops: boolean
  blkioWriteIops: boolean
  devices: boolean
}

let support: CgroupSupport | undefined

/** Looked up once. */
export function cgroupSupport(): CgroupSupport {
  support ??= probe(detectCgroups())
  return support
}

function probe(layout: CgroupLayout): CgroupSupport {
  return layout.version === 2 ? probeV2(layout.unified ?? '/sys/fs/cgroup') : probeV1(layout)
}

function probeV1({ controllers }: CgroupLayout): CgroupSupport {
  const has = (controller: string, file: string): boolean => {
    const folder = controllers.get(controller)
    return folder !== undefined && fs.existsSync(`${folder}/${controller}.${file}`)
  }
  return {
    memoryLimit: has('memory', 'limit_in_bytes'),
    swapLimit: has('memory', 'memsw.limit_in_bytes'),
    memoryReservation: has('memory', 'soft_limit_in_bytes'),
    memorySwappiness: has('memory', 'swappiness'),
    oomKillDisable: has('memory', 'oom_control'),
    kernelMemoryTcp: has('memory', 'kmem.tcp.limit_in_bytes'),
    cpuShares: has('cpu', 'shares'),
    cpuCfs: has('cpu', 'cfs_quota_us'),
    cpuRealtime: has('cpu', 'rt_period_us'),
    cpuset: has('cpuset', 'cpus'),
    pidsLimit: controllers.has('pids'),
    blkioWeight: has('blkio', 'weight'),
    blkioWeightDevice: has('blkio', 'weight_device'),
    blkioReadBps: has('blkio', 'throttle.read_bps_device'),
    blkioWriteBps: has('blkio', 'throttle.write_bps_device'),
    blkioReadIops: has('blkio', 'throttle.read_iops_device'),
    blkioWriteIops: has('blkio', 'throttle.write_iops_device'),
    devices: controllers.has('devices'),
  }
}

function probeV2(root: string): CgroupSupport {
  const controllers = new Set(fs.readFileSync(`${root}/cgroup.controllers`, 'utf8').trim().split(/\s+/))
  const io = controllers.has('io')
  return {
    memoryLimit: controllers.has('memory'),
    swapLimit: controllers.has('memory') && offers(root, 'memory.swap.max'),
    memoryReservation: controllers.has('memory'),
    memorySwappiness: false,
    oomKillDisable: false,
    kernelMemoryTcp: false,
    cpuShares: controllers.has('cpu'),
    cpuCfs: controllers.has('cpu'),
    cpuRealtime: false,
    cpuset: controllers.has('cpuset'),
    pidsLimit: controllers.has('pids'),
    blkioWeight: io && offers(root, 'io.weight'),
    blkioWeightDevice: io && offers(root, 'io.weight'),
    blkioReadBps: io,
    blkioWriteBps: io,
    blkioReadIops: io,
    blkioWriteIops: io,
    devices: true,
  }
}

/**
 * Whether groups have this file. The root of the tree lacks many, but any group below it that has the controller shows; until there
 * is one, yes.
 */
function offers(root: string, file: string): boolean {
  const [controller] = file.split('.')
  const group = fs.readdirSync(root, { withFileTypes: true }).find(entry => {
    return entry.isDirectory() && fs.existsSync(`${root}/${entry.name}/${controller}.max`)
  })
  return group === undefined || fs.existsSync(`${root}/${group.name}/${file}`)
}

/** The `Warnings` of `GET /info`. */
export function cgroupWarnings(
  host: CgroupSupport = cgroupSupport(),
  version = detectCgroups().version,
): string[] {
  const io = (v1: string, v2: string): string => (version === 2 ? v2 : v1)
  const texts: [boolean, string][] = [
    [host.memoryLimit, 'WARNING: No memory limit support'],
    [host.swapLimit, 'WARNING: No swap limit support'],
    [host.kernelMemoryTcp || version === 2, 'WARNING: No kernel memory TCP limit support'],
    [host.oomKillDisable || version === 2, 'WARNING: No oom kill disable support'],
    [host.cpuCfs, 'WARNING: No cpu cfs quota support'],
    [host.cpuCfs, 'WARNING: No cpu cfs period support'],
    [host.cpuShares, 'WARNING: No cpu shares support'],
    [host.cpuset, 'WARNING: No cpuset support'],
    [host.pidsLimit, 'WARNING: No pids limit support'],
    [host.blkioWeight, `WARNING: No ${io('blkio weight', 'io.weight')} support`],
    [host.blkioWeightDevice, `WARNING: No ${io('blkio weight_device', 'io.weight (per device)')} support`],
    [host.blkioReadBps, `WARNING: No ${io('blkio throttle.read_bps_device', 'io.max (rbps)')} support`],
    [host.blkioWriteBps, `WARNING: No ${io('blkio throttle.write_bps_device', 'io.max (wbps)')} support`],
    [host.blkioReadIops, `WARNING: No ${io('blkio throttle.read_iops_device', 'io.max (riops)')} support`],
    [host.blkioWriteIops, `WARNING: No ${io('blkio throttle.write_iops_device', 'io.max (wiops)')} support`],
  ]
  return texts.filter(([present]) => !present).map(([, text]) => text)
}
