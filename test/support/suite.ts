import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { Daemon, type DaemonOptions } from './daemon.ts'
import { leftovers } from './leftovers.ts'
import { addServersImage } from './servers-image.ts'

/**
 * A daemon for the tests of the `describe` that this is called in: it runs before the first of them, with the image
 * `busybox:latest` unless `prepare` puts another into it, and is gone without a trace after the last.
 */
export function suiteDaemon(
  options: DaemonOptions = {},
  prepare: (daemon: Daemon) => Promise<void> = daemon => daemon.addBusybox(),
): Daemon {
  const daemon = new Daemon(options)
  before(async () => {
    await daemon.start()
    await prepare(daemon)
  })
  after(async () => {
    await daemon.remove()
    assert.deepEqual(leftovers(daemon), [])
  })
  return daemon
}

/** {@link suiteDaemon} with `debian:12` and `debian:servers`, in the host's own network: packages come from outside. */
export const debianDaemon = (): Daemon =>
  suiteDaemon({ isolateNetwork: false, args: ['--bridge', 'none'] }, addServersImage)
