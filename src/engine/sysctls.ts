/** Which settings of the kernel a container may have: those that one of its own namespaces holds. runc: libcontainer/configs/validate */
import { GantryError } from '../errors.ts'
import type { HostSpec } from './types.ts'

// biome-ignore format: a table
const OF_IPC = new Set([
  'kernel.msgmax', 'kernel.msgmnb', 'kernel.msgmni', 'kernel.sem', 'kernel.shmall', 'kernel.shmmax', 'kernel.shmmni',
  'kernel.shm_rmid_forced',
])

/** Raises for a setting that would be the host's. */
export function checkSysctls({ sysctls, networkMode, ipcMode, utsMode }: HostSpec): void {
  for (const written of Object.keys(sysctls ?? {})) {
    const name = normalised(written)
    const quoted = JSON.stringify(written)
    if (OF_IPC.has(name) || name.startsWith('fs.mqueue.')) {
      if (ipcMode === 'host') fail(`sysctl ${quoted} is not allowed in the hosts ipc namespace`)
    } else if (name.startsWith('net.')) {
      if (networkMode === 'host') fail(`sysctl ${quoted} not allowed in host network namespace`)
    } else if (name !== 'kernel.domainname' || utsMode === 'host') {
      fail(`sysctl ${quoted} is not in a separate kernel namespace`)
    }
  }
}

/** `net/ipv4/ip_forward` is another way to write `net.ipv4.ip_forward`. */
function normalised(name: string): string {
  const at = name.search(/[./]/)
  return name[at] === '/' ? name.replace(/[./]/g, mark => (mark === '/' ? '.' : '/')) : name
}

function fail(text: string): never {
  throw new GantryError(
    'internal',
    `failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ${text}`,
  )
}
