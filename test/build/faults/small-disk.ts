/** A daemon on a file system of its own, so small that builds fill it, and a look at what builds leave there. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { Daemon, type Outcome } from '../../support/daemon.ts'
import { eventually } from '../../support/eventually.ts'
import { leftovers } from '../../support/leftovers.ts'

type Files = Record<string, Buffer>

export class SmallDisk {
  readonly daemon: Daemon
  readonly #mountpoint: string

  private constructor(daemon: Daemon, mountpoint: string) {
    this.daemon = daemon
    this.#mountpoint = mountpoint
  }

  static async start(megabytes: number): Promise<SmallDisk> {
    const mountpoint = fs.mkdtempSync('/var/tmp/gantry-build-')
    const image = `${mountpoint}.img`
    fs.closeSync(fs.openSync(image, 'w'))
    fs.truncateSync(image, megabytes << 20)
    execFileSync('mkfs.ext4', ['-q', '-m', '0', image])
    execFileSync('mount', ['-o', 'loop', image, mountpoint])
    try {
      return new SmallDisk(await Daemon.start({ parent: mountpoint }), mountpoint)
    } catch (error) {
      SmallDisk.#remove(mountpoint)
      throw error
    }
  }

  static #remove(mountpoint: string): void {
    execFileSync('umount', [mountpoint])
    fs.rmSync(mountpoint, { recursive: true })
    fs.rmSync(`${mountpoint}.img`)
  }

  async remove(): Promise<void> {
    await this.daemon.remove()
    const left = leftovers(this.daemon)
    SmallDisk.#remove(this.#mountpoint)
    assert.deepEqual(left, [])
  }

  async build(dockerfile: string, files: Files = {}, ...args: string[]): Promise<Outcome> {
    const context = contextOf(dockerfile, files)
    try {
      return await this.daemon.docker('build', '--progress=plain', '--network=none', ...args, context)
    } finally {
      fs.rmSync(context, { recursive: true })
    }
  }

  /** A build that is at work. Its client is gone when `work` ends, if not before. */
  async during(
    dockerfile: string,
    files: Files,
    work: (client: ChildProcess, output: () => string) => Promise<void>,
  ): Promise<void> {
    const context = contextOf(dockerfile, files)
    const client = spawn('docker', ['build', '--progress=plain', '--network=none', context], {
      env: { ...process.env, DOCKER_HOST: this.daemon.host },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const gone = new Promise(resolve => client.once('exit', resolve))
    let output = ''
    client.stderr!.on('data', chunk => {
      output += chunk
    })
    try {
      await work(client, () => output)
    } finally {
      client.kill('SIGKILL')
      await gone
      fs.rmSync(context, { recursive: true })
    }
  }

  get free(): number {
    const { bavail, bsize } = fs.statfsSync(this.#mountpoint)
    return (bavail * bsize) / 1e6
  }

  names(folder: string): string[] {
    return fs.readdirSync(path.join(this.daemon.dataRoot, folder)).sort()
  }

  /** Each layer has its record, nothing is on its way in, and no step is left. */
  nothingHalf(): Promise<void> {
    return eventually(() => {
      const records = this.names('build/records').map(name => path.basename(name, '.json'))
      assert.deepEqual(this.names('build/layers'), records.sort())
      assert.deepEqual(this.names('ingest'), [])
      assert.deepEqual(this.names('build/contexts'), [])
      const mounts = leftovers(this.daemon).filter(one => one.startsWith('mount') && !one.includes('loop'))
      assert.deepEqual(mounts, [])
    })
  }
}

/** Look again and again, without a pause, until `holds`: what is looked for may be there for milliseconds only. */
export async function soon(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !holds(); await new Promise(setImmediate)) {
    if (Date.now() > end) throw new Error('it did not happen')
  }
}

function contextOf(dockerfile: string, files: Files): string {
  const context = fs.mkdtempSync('/var/tmp/gantry-context-')
  fs.writeFileSync(path.join(context, 'Dockerfile'), dockerfile)
  for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(context, name), bytes)
  return context
}
