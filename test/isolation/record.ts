/**
 * Records what containers of a real Docker look like from inside, and the OCI specs that it writes for them, into
 * test/recordings/isolation/. Not part of the tests: they compare with what is recorded.
 *
 *   DOCKER_HOST=… sh scripts/node test/isolation/record.ts BUNDLES SHARED [SHARED-THERE]
 *
 * BUNDLES is where that Docker's containerd keeps its bundles, SHARED a folder that both sides see (SHARED-THERE: as it is
 * called over there). The engine needs the image `busybox`, which is the tests' busybox.
 */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { cases } from './cases.ts'
import { findings, script, syscallScript } from './probe.ts'

const [bundles, shared, sharedThere = shared] = process.argv.slice(2)
if (!bundles || !shared) throw new Error('usage: record.ts BUNDLES SHARED [SHARED-THERE]')

const target = path.resolve(import.meta.dirname, '../recordings/isolation')
const docker = (...args: string[]): string =>
  execFileSync('docker', args, { encoding: 'utf8', maxBuffer: 1 << 26 })

fs.mkdirSync(target, { recursive: true })
execFileSync('cc', [
  '-O1',
  '-static',
  '-o',
  path.join(shared, 'syscalls'),
  path.join(import.meta.dirname, 'syscalls.c'),
])
for (const { name, flags, syscalls } of cases) {
  const container = `gantry-record-${name}`
  const network = flags.includes('--network') ? [] : ['--network', 'none']
  const create = ['create', '--name', container, ...network, ...flags, '-v', `${sharedThere}:/probe:ro`]
  const id = docker(
    ...create,
    'busybox',
    'sh',
    '-c',
    `sleep 1; ${script}${syscalls ? syscallScript : ''}`,
  ).trim()
  try {
    docker('start', container)
    const spec = JSON.parse(fs.readFileSync(path.join(bundles, id, 'config.json'), 'utf8'))
    docker('wait', container)
    const recording = { spec: normalizeSpec(spec, id), findings: findings(docker('logs', container), id) }
    fs.writeFileSync(path.join(target, `${name}.json`), `${JSON.stringify(recording, null, 1)}\n`)
  } finally {
    docker('rm', '-f', container)
  }
}

/** Without what differs from run to run or belongs to the engine: ids, the command, files in /etc, our own mount. */
function normalizeSpec(spec: any, id: string): unknown {
  const plain = JSON.parse(
    JSON.stringify(spec).replaceAll(id, '<id>').replaceAll(id.slice(0, 12), '<short-id>'),
  )
  plain.root.path = 'rootfs'
  plain.process.args = ['true']
  plain.process.env = []
  plain.mounts = plain.mounts.filter((mount: any) => !/^\/etc\/|^\/probe$/.test(mount.destination))
  plain.linux.cgroupsPath = plain.linux.cgroupsPath.replace('/docker/', '/<parent>/')
  return plain
}
