/** An image with real servers in it, made by Gantry itself: Debian, and packages that apt installs in a container. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Daemon } from './daemon.ts'
import { debianRootfs } from './debian-rootfs.ts'

const packages = [
  'nginx-light',
  'redis-server',
  'postgresql',
  'iputils-ping',
  'libcap2-bin',
  'curl',
  'stress-ng',
  'iperf3',
]
export const serversArchive = path.resolve(import.meta.dirname, '../../.cache/debian-servers.tar')

/**
 * Put `debian:12` and `debian:servers` into `daemon`. The first time, the packages are installed in a container, which needs a
 * daemon in the host's own network; the image is kept for daemons that come later.
 */
export async function addServersImage(daemon: Daemon): Promise<void> {
  if (fs.existsSync(serversArchive)) {
    await daemon.ok('load', '-q', '-i', serversArchive)
    return
  }
  const environment = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  await daemon.ok('import', '-c', 'CMD ["bash"]', '-c', environment, debianRootfs(), 'debian:12')
  const install = `apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${packages.join(' ')}`
  await daemon.ok('run', '--name', 'work', '--network', 'host', 'debian:12', 'sh', '-c', install)
  await daemon.ok('commit', '-m', 'servers', 'work', 'debian:servers')
  await daemon.ok('rm', 'work')
  const partial = `${serversArchive}.${process.pid}`
  await daemon.ok('save', '-o', partial, 'debian:12', 'debian:servers')
  fs.renameSync(partial, serversArchive)
}
