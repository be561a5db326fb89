/** Prometheus text under the names that dockerd gives them, for `--metrics-addr`. */
import type { Engine } from '../engine/engine.ts'
import { invalid } from '../errors.ts'
import { createServer } from '../http.ts'

/** Seconds; the buckets of Go's Prometheus client. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const ACTIONS = ['changes', 'commit', 'create', 'delete', 'start'] as const
type Action = (typeof ACTIONS)[number]

/** Which calls of the API are which action. */
const CALLS: [method: string, path: RegExp, action: Action][] = [
  ['POST', /^\/containers\/create$/, 'create'],
  ['POST', /^\/containers\/[^/]+\/start$/, 'start'],
  ['DELETE', /^\/containers\/[^/]+$/, 'delete'],
  ['GET', /^\/containers\/[^/]+\/changes$/, 'changes'],
  ['POST', /^\/commit$/, 'commit'],
]

class Histogram {
  #counts = BUCKETS.map(() => 0)
  #sum = 0
  #count = 0

  observe(seconds: number): void {
    this.#sum += seconds
    this.#count++
    for (const [index, bound] of BUCKETS.entries()) if (seconds <= bound) this.#counts[index]!++
  }

  lines(name: string, label = ''): string[] {
    const bucket = (bound: number | string) => `${name}_bucket{${label}${label && ','}le="${bound}"}`
    const labels = label && `{${label}}`
    return [
      ...BUCKETS.map((bound, index) => `${bucket(bound)} ${this.#counts[index]}`),
      `${bucket('+Inf')} ${this.#count}`,
      `${name}_sum${labels} ${this.#sum}`,
      `${name}_count${labels} ${this.#count}`,
    ]
  }
}

/** Counts what an engine does from the moment it is made. */
export class Metrics {
  readonly #engine: Engine
  readonly #checkStarts = new Histogram()
  readonly #actions = new Map(ACTIONS.map(action => [action, new Histogram()]))
  #events = 0
  #checks = 0
  #failedChecks = 0

  constructor(engine: Engine) {
    this.#engine = engine
    engine.events.listen(() => {
      this.#events++
    })
    engine.health.onStart = milliseconds => this.#checkStarts.observe(milliseconds / 1000)
    engine.health.onResult = healthy => {
      this.#checks++
      if (!healthy) this.#failedChecks++
    }
  }

  /** A call of the API (its path without a version) ended well after so many milliseconds. */
  called(method: string, path: string, milliseconds: number): void {
    const action = CALLS.find(([verb, pattern]) => verb === method && pattern.test(path))?.[2]
    if (action) this.#actions.get(action)!.observe(milliseconds / 1000)
  }

  /** The exposition format, version 0.0.4. */
  async text(): Promise<string> {
    const info = await this.#engine.system.info()
    const { gitCommit } = this.#engine.system.version()
    const facts = {
      architecture: info.architecture,
      commit: gitCommit,
      daemon_id: info.id,
      graphdriver: info.driver,
      kernel: info.kernelVersion,
      os: info.operatingSystem,
      os_type: info.osType,
      os_version: info.osVersion,
      version: info.version,
    }
    const labels = Object.entries(facts).map(([key, value]) => `${key}="${escaped(value)}"`)
    return [
      ...head(
        'container_actions_seconds',
        'histogram',
        'The number of seconds it takes to process each container action',
      ),
      ...[...this.#actions].flatMap(([action, histogram]) =>
        histogram.lines('engine_daemon_container_actions_seconds', `action="${action}"`),
      ),
      ...head('container_states_containers', 'gauge', 'The count of containers in various states'),
      `engine_daemon_container_states_containers{state="paused"} ${info.containersPaused}`,
      `engine_daemon_container_states_containers{state="running"} ${info.containersRunning}`,
      `engine_daemon_container_states_containers{state="stopped"} ${info.containersStopped}`,
      ...single(
        'engine_cpus_cpus',
        'gauge',
        'The number of cpus that the host system of the engine has',
        info.cpus,
      ),
      ...head('engine_info', 'gauge', 'The information related to the engine and the OS it is running on'),
      `engine_daemon_engine_info{${labels.join(',')}} 1`,
      ...single(
        'engine_memory_bytes',
        'gauge',
        'The number of bytes of memory that the host system of the engine has',
        info.memory,
      ),
      // One of the listeners counts for this page.
      ...single(
        'events_subscribers_total',
        'gauge',
        'The number of current subscribers to events',
        info.eventListeners - 1,
      ),
      ...single('events_total', 'counter', 'The number of events logged', this.#events),
      ...head(
        'health_check_start_duration_seconds',
        'histogram',
        'The number of seconds it takes to prepare to run health checks',
      ),
      ...this.#checkStarts.lines('engine_daemon_health_check_start_duration_seconds'),
      ...single(
        'health_checks_failed_total',
        'counter',
        'The total number of failed health checks',
        this.#failedChecks,
      ),
      ...single('health_checks_total', 'counter', 'The total number of health checks', this.#checks),
      '',
    ].join('\n')
  }
}

function head(name: string, type: string, help: string): string[] {
  return [`# HELP engine_daemon_${name} ${help}`, `# TYPE engine_daemon_${name} ${type}`]
}

function single(name: string, type: string, help: string, value: number): string[] {
  return [...head(name, type, help), `engine_daemon_${name} ${value}`]
}

const escaped = (text: string): string =>
  text.replace(/[\\"\n]/g, mark => (mark === '\n' ? '\\n' : `\\${mark}`))

/** Serves `/metrics` at `address` (`127.0.0.1:9323`), without TLS as dockerd does. Answers how to stop. */
export async function serveMetrics(metrics: Metrics, address: string): Promise<() => void> {
  const [, name, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? []
  if (port === undefined || Number(port) > 65535) throw invalid(`invalid metrics address: ${address}`)
  const server = createServer(async (req, res) => {
    if (req.method !== 'GET' || !/^\/metrics(\?|$)/.test(req.url ?? '')) {
      res.writeHead(404).end('404 page not found\n')
      return
    }
    try {
      const text = await metrics.text()
      res.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text)
    } catch {
      res.writeHead(500).end()
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(Number(port), name || undefined, resolve)
  })
  return () => {
    server.close()
    server.closeAllConnections()
  }
}
