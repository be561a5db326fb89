/** Chains that others than containers stand on. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode, kindOf } from '../errors.ts'
import type { Snapshots } from './snapshots.ts'

/** Take up the writable snapshots in `folder`, each named by its chain's hex, before chains that nobody holds are collected. */
export async function takeUp(snapshots: Snapshots, folder: string): Promise<void> {
  let names: string[]
  try {
    names = fs.readdirSync(folder)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  for (const name of names) {
    try {
      await snapshots.prepare(path.join(folder, name), `sha256:${name}`)
    } catch (error) {
      if (kindOf(error) !== 'notFound') throw error // a chain that went with its image
    }
  }
}
