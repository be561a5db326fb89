/** What the engine's tests share: an engine of their own in a temporary folder, with a busybox image. */
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { busyboxRootfs } from '../../test/support/busybox.ts'
import { HostNetwork } from '../network/host.ts'
import { tableName } from '../network/identity.ts'
import { addTable, deleteTable } from '../network/netlink/nftables.ts'
import { Engine, type EngineOptions } from './engine.ts'
import type { ContainerConfig, ContainerSpec, HostSpec } from './types.ts'

/** Why tests with real containers cannot run here; undefined where they can. */
export const unable = process.getuid?.() === 0 ? undefined : 'containers need root'

export class TestEngine implements AsyncDisposable {
  engine!: Engine
  readonly root: string
  readonly options: EngineOptions

  private constructor() {
    this.root = fs.mkdtempSync(path.join(os.tmpdir(), 'engine-test-'))
    this.options = {
      dataRoot: path.join(this.root, 'data'),
      execRoot: path.join(this.root, 'exec'),
      // The host's own network stays as it is.
      config: { bridge: 'none', ipForward: false },
    }
  }

  static async open(): Promise<TestEngine> {
    const test = new TestEngine()
    test.engine = await Engine.open(test.options)
    await test.engine.images.import(fs.createReadStream(busyboxRootfs()), {
      repository: 'busybox',
      changes: ['CMD ["sh"]', 'ENV PATH=/bin:/sbin:/usr/bin'],
    })
    return test
  }

  /** As if the daemon had been killed and started again. */
  async reopen(): Promise<Engine> {
    await this.engine.close()
    this.engine = await Engine.open(this.options)
    return this.engine
  }

  async create(cmd: string[], host: HostSpec = {}, more: Partial<ContainerConfig> & { name?: string } = {}) {
    const { name, ...config } = more
    const spec: ContainerSpec = {
      ...(name && { name }),
      config: { image: 'busybox', cmd, ...config },
      host: { networkMode: 'none', ...host },
    }
    return (await this.engine.containers.create(spec)).id
  }

  /** Run to the end: what it printed (both streams) and its exit code. */
  async run(cmd: string[], host: HostSpec = {}, more: Partial<ContainerConfig> = {}) {
    const { containers } = this.engine
    const id = await this.create(cmd, host, more)
    const { stream } = await containers.attach(id, { stream: true, stdout: true, stderr: true })
    const output = text(stream)
    const ended = containers.wait(id, 'next-exit')
    await containers.start(id)
    const { exitCode } = await ended
    return { id, exitCode, output: await output }
  }

  /** Resolves when `condition` holds. The test's own time limit ends the waiting. */
  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 10))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id } of await this.engine.containers.list({ all: true })) {
      await this.engine.containers.remove(id, { force: true, volumes: true })
    }
    await this.engine.close()
    removeRules(this.options.dataRoot)
    fs.rmSync(this.root, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** The table of packet rules outlives an engine on purpose; a test's must not. */
function removeRules(dataRoot: string): void {
  const table = { family: 'inet', table: tableName(dataRoot) } as const
  const host = new HostNetwork()
  try {
    host.rules([addTable(table), deleteTable(table)])
  } finally {
    host.close()
  }
}

/** A stream to its end, without the frames. */
export async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return unframe(Buffer.concat(chunks))
}

export function unframe(bytes: Buffer): string {
  const parts: Buffer[] = []
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4)
    parts.push(bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return Buffer.concat(parts).toString('utf8')
}
