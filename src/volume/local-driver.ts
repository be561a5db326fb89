/**
 * The `local` driver's options: what is mounted over a volume's data folder while a container uses it.
 * moby volume/local: `type`, `o`, `device`, and `size`, which needs quotas.
 */
import * as dns from 'node:dns/promises'
import { hasCode, internal, invalid, messageOf } from '../errors.ts'
import * as linux from '../linux/index.ts'

const KNOWN = ['type', 'o', 'device', 'size', 'uid', 'gid', 'mode']

export type LocalOptions = Record<string, string>

/** Raises invalid for options that the driver does not know or that lack a part. */
export function checkLocalOptions(options: LocalOptions): void {
  for (const key of Object.keys(options)) {
    if (!KNOWN.includes(key)) throw invalid(`invalid option: "${key}"`)
  }
  if (options['size'] !== undefined) throw invalid('quota size requested but no quota support')
  for (const needed of ['device', 'type'] as const) {
    const others = (['device', 'type', 'o'] as const).some(key => key !== needed && options[key])
    if (others && !options[needed]) throw invalid(`missing required option: "${needed}"`)
  }
}

export const needsMount = (options: LocalOptions | null): boolean => Boolean(options?.['device'])

const FLAGS: Record<string, number> = {
  ro: linux.MS_RDONLY,
  nosuid: linux.MS_NOSUID,
  nodev: linux.MS_NODEV,
  noexec: linux.MS_NOEXEC,
  bind: linux.MS_BIND,
  rbind: linux.MS_BIND | linux.MS_REC,
  remount: linux.MS_REMOUNT,
}
const IGNORED = ['defaults', 'rw', 'suid', 'dev', 'exec']

/** Mount what `options` say at `target`. */
export async function mountLocal(options: LocalOptions, target: string): Promise<void> {
  let flags = 0
  const data: string[] = []
  for (const option of (options['o'] ?? '').split(',').filter(Boolean)) {
    if (option in FLAGS) flags |= FLAGS[option]!
    else if (!IGNORED.includes(option)) data.push(await resolveAddress(option))
  }
  const type = options['type'] ?? ''
  const device = options['device'] ?? ''
  try {
    linux.mount(device, target, type === 'none' ? '' : type, flags, data.join(','))
  } catch (error) {
    const text = `failed to mount local volume: mount ${device}:${target}${flags ? `, flags: 0x${flags.toString(16)}` : ''}${data.length ? `, data: ${data.join(',')}` : ''}: ${errnoText(error)}`
    throw internal(`error while mounting volume '${target}': ${text}`, error)
  }
}

/** nfs and cifs: the kernel wants an address where people write a name. mount.nfs(8) */
async function resolveAddress(option: string): Promise<string> {
  if (!option.startsWith('addr=')) return option
  const { address } = await dns.lookup(option.slice('addr='.length))
  return `addr=${address}`
}

function errnoText(error: unknown): string {
  if (hasCode(error, 'ENOENT')) return 'no such file or directory'
  if (hasCode(error, 'ENODEV')) return 'no such device'
  if (hasCode(error, 'EINVAL')) return 'invalid argument'
  if (hasCode(error, 'ENOTDIR')) return 'not a directory'
  return messageOf(error)
}
