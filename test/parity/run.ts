/** Runs scenarios against any engine that a docker client can reach. */
import { execFile } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { IMAGE, imageArchive } from './image.ts'
import { normalise } from './normalise.ts'
import type { Area, Outcome, Scenario } from './scenario.ts'

/** Milliseconds that one scenario may take. */
const LIMIT = 60_000

export const folders = {
  scenarios: path.join(import.meta.dirname, 'scenarios'),
  recordings: path.join(import.meta.dirname, 'recordings'),
}

/** All areas, or those named. */
export async function loadAreas(names: string[] = []): Promise<Area[]> {
  const files = fs.readdirSync(folders.scenarios).filter(file => file.endsWith('.ts'))
  const areas = await Promise.all(
    files.map(async file => (await import(path.join(folders.scenarios, file))).default as Area),
  )
  return areas.filter(({ name }) => names.length === 0 || names.includes(name))
}

export class Runner {
  readonly #env: Record<string, string>
  readonly #home: string

  /** `host` is a DOCKER_HOST. */
  constructor(host: string) {
    this.#home = fs.mkdtempSync(path.join(os.tmpdir(), 'parity-'))
    this.#env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      DOCKER_HOST: host,
      DOCKER_CONFIG: this.#home,
      HOME: this.#home,
      TMPDIR: this.#home,
      I: IMAGE,
    }
  }

  /** Puts the image of the scenarios there. */
  async prepare(): Promise<void> {
    await this.#must(`docker load -q -i '${imageArchive()}'`)
  }

  async run(area: Area, scenario: Scenario): Promise<Outcome> {
    const name = `parity-${area.name}-${scenario.name}`
    const folder = fs.mkdtempSync(path.join(this.#home, 'cwd-'))
    const env = { N: name }
    try {
      await this.#clean(name)
      if (scenario.setup) await this.#must(scenario.setup, folder, env)
      const { stdout, stderr, code } = await this.#shell(scenario.run, folder, env)
      const plain = (text: string) => normalise(text.replaceAll(folder, '<folder>'))
      return { stdout: plain(stdout), stderr: plain(stderr), code }
    } finally {
      await this.#clean(name)
      fs.rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Takes the image and everything of the scenarios away again. */
  async finish(): Promise<void> {
    await this.#shell(
      "docker images --format '{{.Repository}}:{{.Tag}}' --filter 'reference=parity/*' | xargs -r docker rmi -f",
    )
    fs.rmSync(this.#home, { recursive: true, force: true })
  }

  async #clean(name: string): Promise<void> {
    await this.#shell(`
      docker ps -aq --filter name=^/?${name} | xargs -r docker rm -f -v
      docker volume ls -q --filter name=${name} | xargs -r docker volume rm -f
      docker network ls -q --filter name=${name} | xargs -r docker network rm
      docker images --format '{{.Repository}}:{{.Tag}}' --filter 'reference=parity/*' | grep -vx ${IMAGE} | xargs -r docker rmi -f`)
  }

  async #must(script: string, cwd?: string, env?: Record<string, string>): Promise<void> {
    const { stdout, stderr, code } = await this.#shell(`set -e\n${script}`, cwd, env)
    if (code !== 0) throw new Error(`${script}\nexit code ${code}\n${stdout}${stderr}`)
  }

  #shell(script: string, cwd = this.#home, env: Record<string, string> = {}): Promise<Outcome> {
    return new Promise(resolve => {
      const options = {
        cwd,
        env: { ...this.#env, ...env },
        timeout: LIMIT,
        killSignal: 'SIGKILL',
        maxBuffer: 1 << 26,
      } as const
      const child = execFile('sh', ['-c', script], options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 137
        resolve({ stdout, stderr, code })
      })
      child.stdin?.end()
    })
  }
}
