/** What a kept folder of a client's holds: a file beside it, which says what the client need not send again. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import type { ListedFile } from '../build/index.ts'
import { bootId } from '../durable.ts'
import { hasCode } from '../errors.ts'

/** What is remembered of a name that was received. */
export interface Told extends ListedFile {
  /** All that the client told of it, as one text. */
  metadata: string
}

export interface Index {
  /** Another one whenever anything is different. */
  version: string
  files: ReadonlyMap<string, Told>
}

interface Written {
  boot: string
  version: string
  files: [name: string, told: Told][]
}

export const newVersion = (): string => randomBytes(16).toString('hex')

/** `undefined` where there is none, or one of before a reboot: nothing says how much of the files had reached the disk by then. */
export function readIndex(file: string): Index | undefined {
  try {
    const { boot, version, files } = JSON.parse(fs.readFileSync(file, 'utf8')) as Written
    return boot === bootId() && version ? { version, files: new Map(files) } : undefined
  } catch (error) {
    if (error instanceof SyntaxError || hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Nobody waits for it: where it fails, or is cut off by a crash, the folder is sent again. */
export async function writeIndex(file: string, { version, files }: Index): Promise<void> {
  const written: Written = { boot: bootId(), version, files: [...files] }
  await fs.promises.writeFile(file, JSON.stringify(written)).catch(() => fs.rmSync(file, { force: true }))
}
