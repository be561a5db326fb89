/** An overlay of any number of folders, as a detached mount. Source: Documentation/filesystems/overlayfs.rst, fsconfig(2). */
import * as fs from 'node:fs'
import { release } from 'node:os'
import { O_PATH } from './file.ts'
import { fsconfigCreate, fsconfigSetFlag, fsconfigSetString, fsmount, fsopen } from './mount.ts'
import { check, native } from './native.ts'

export interface OverlayLayers {
  /** Upmost first; at least two where nothing is written. */
  lowerdirs: readonly string[]
  /** Both or none. */
  upperdir?: string | undefined
  workdir?: string | undefined
  /** More options of the file system: `key=value`, or a flag. */
  options?: readonly string[] | undefined
}

/** The kernel takes no longer string in one fsconfig(2). */
const MAX_FS_OPTION = 255

/**
 * Whether fsconfig(2) takes lower folders one by one (`lowerdir+`, since Linux 6.5): any number of them, and no escaping. Older
 * kernels want one list, in the page of options of mount(2).
 */
export const knowsLowerdirPlus = ([major, minor]: readonly [number, number]): boolean =>
  major > 6 || (major === 6 && minor >= 5)

/** Whether an overlay can be told never to wait for the disk (`volatile`, since Linux 5.10). */
export const knowsVolatile = ([major, minor] = kernelVersion()): boolean =>
  major > 5 || (major === 5 && minor >= 10)

/** Of the running kernel. */
export function kernelVersion(text = release()): [major: number, minor: number] {
  const match = /^(\d+)\.(\d+)/.exec(text)
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)]
}

/** An fd of the mount, which lives as long as the fd or a process that runs in it. */
export function mountOverlay(layers: OverlayLayers, kernel = kernelVersion()): number {
  return knowsLowerdirPlus(kernel) ? mountOneByOne(layers) : mountAtOnce(layers)
}

function mountOneByOne({ lowerdirs, upperdir, workdir, options = [] }: OverlayLayers): number {
  const context = fsopen('overlay')
  const opened: number[] = []
  const set = (key: string, folder: string) => {
    if (Buffer.byteLength(folder) <= MAX_FS_OPTION) return fsconfigSetString(context, key, folder)
    const fd = fs.openSync(folder, O_PATH | fs.constants.O_DIRECTORY)
    opened.push(fd)
    fsconfigSetString(context, key, `/proc/self/fd/${fd}`)
  }
  try {
    fsconfigSetString(context, 'source', 'overlay')
    for (const folder of lowerdirs) set('lowerdir+', folder)
    if (upperdir !== undefined) set('upperdir', upperdir)
    if (workdir !== undefined) set('workdir', workdir)
    for (const option of options) {
      const [key = '', value] = option.split('=')
      if (value === undefined) fsconfigSetFlag(context, key)
      else fsconfigSetString(context, key, value)
    }
    fsconfigCreate(context)
    return fsmount(context)
  } finally {
    fs.closeSync(context)
    for (const fd of opened) fs.closeSync(fd)
  }
}

function mountAtOnce({ lowerdirs, upperdir, workdir, options = [] }: OverlayLayers): number {
  const parts = [
    'lowerdir=',
    ...lowerdirs.flatMap((folder, index) => (index === 0 ? [folder] : [':', folder])),
    ...(upperdir === undefined ? [] : [',upperdir=', upperdir]),
    ...(workdir === undefined ? [] : [',workdir=', workdir]),
    ...options.map(option => `,${option}`),
  ]
  return check(native().mountDetached('overlay', parts), 'mount', 'overlay')
}
