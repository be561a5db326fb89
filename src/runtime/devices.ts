/** Device nodes: what `--device` and `--privileged` find on the host. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode, invalid } from '../errors.ts'
import type { DeviceNode, DeviceRule } from './spec.ts'

export interface DeviceAccess {
  nodes: DeviceNode[]
  rules: DeviceRule[]
}

/** Folders under /dev that every container has of its own, and what is not a device of the machine. */
const SKIPPED_FOLDERS = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev'])

/** Every device node of the host's /dev: what a privileged container gets. */
export function hostDevices(): DeviceNode[] {
  return nodesBelow('/dev')
}

/**
 * What `--device pathOnHost:pathInContainer:permissions` grants: one node, or every node below a folder. Symbolic links
 * to a device are followed. Throws with Docker's text when there is no device.
 */
export function deviceAccess(pathOnHost: string, pathInContainer: string, permissions: string): DeviceAccess {
  const gathering = `error gathering device information while adding custom device "${pathOnHost}"`
  const target = pathInContainer || pathOnHost
  const access = permissions || 'rwm'
  let real: string
  try {
    real = fs.realpathSync(pathOnHost)
  } catch (error) {
    throw invalid(`${gathering}: ${hasCode(error, 'ENOENT') ? 'no such file or directory' : String(error)}`)
  }
  const nodes = fs.statSync(real).isDirectory()
    ? nodesBelow(real).map(node => ({ ...node, path: target + node.path.slice(real.length) }))
    : [{ ...(deviceNode(real) ?? fail(gathering)), path: target }]
  if (nodes.length === 0) fail(gathering)
  return { nodes, rules: nodes.map(node => ruleFor(node, access)) }
}

function fail(gathering: string): never {
  throw invalid(`${gathering}: not a device node`)
}

/** A rule of `--device-cgroup-rule`: `c 1:3 rwm`, `a *:* rwm`. Throws with Docker's text. */
export function parseDeviceRule(text: string): DeviceRule {
  const match = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text)
  if (!match) throw invalid(`invalid device cgroup rule format: '${text}'`)
  const [, type, major, minor, access] = match
  return {
    allow: true,
    type: type as 'a' | 'c' | 'b',
    ...(major !== '*' && { major: Number(major) }),
    ...(minor !== '*' && { minor: Number(minor) }),
    access: access!,
  }
}

const ruleFor = (node: DeviceNode, access: string): DeviceRule => ({
  allow: true,
  type: node.type === 'b' ? 'b' : 'c',
  major: node.major!,
  minor: node.minor!,
  access,
})

function nodesBelow(folder: string): DeviceNode[] {
  const nodes: DeviceNode[] = []
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) {
      if (!SKIPPED_FOLDERS.has(entry.name)) nodes.push(...nodesBelow(file))
    } else if (entry.name !== 'console') {
      const node = entry.isSymbolicLink() ? undefined : deviceNode(file)
      if (node) nodes.push(node)
    }
  }
  return nodes
}

/** The node at `file`, which is not followed; `undefined` if it is no device or just went away. */
function deviceNode(file: string): DeviceNode | undefined {
  const stat = fs.lstatSync(file, { throwIfNoEntry: false })
  if (!stat || !(stat.isCharacterDevice() || stat.isBlockDevice())) return undefined
  return {
    path: file,
    type: stat.isBlockDevice() ? 'b' : 'c',
    major: deviceMajor(stat.rdev),
    minor: deviceMinor(stat.rdev),
    fileMode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  }
}

/** A device number's halves; makedev(3), as glibc packs them (32 bits each at most; here 12 and 20 suffice). */
export function deviceMajor(rdev: number): number {
  return (rdev >>> 8) & 0xfff
}

export function deviceMinor(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)
}
