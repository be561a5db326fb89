import { setTimeout as sleep } from 'node:timers/promises'

/** How many times longer than elsewhere things may take here: an emulated machine is slow. */
export const patience = process.env['GANTRY_TEST_MACHINE'] === undefined ? 1 : 10

/** Repeat `check` until it passes; after `seconds` its last error is thrown. For what happens soon, but not at once. */
export async function eventually(check: () => Promise<void> | void, seconds = 20 * patience): Promise<void> {
  for (const end = Date.now() + seconds * 1000; ; await sleep(50)) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > end) throw error
    }
  }
}
