import { setTimeout as sleep } from 'node:timers/promises'

/** Repeat `check` until it passes; after `seconds` its last error is thrown. For what happens soon, but not at once. */
export async function eventually(check: () => Promise<void> | void, seconds = 20): Promise<void> {
  for (const end = Date.now() + seconds * 1000; ; await sleep(50)) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > end) throw error
    }
  }
}
