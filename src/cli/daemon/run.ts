/** The daemon's life: set up, listen, reload on SIGHUP, end on SIGTERM. */
import { type Listener, listen } from '../../api/listen.ts'
import { wasBuilding } from '../../build/interrupted.ts'
import { invalid, messageOf } from '../../errors.ts'
import { type AdjustableLogger, createLogger, type Logger, type LogLevel } from '../../logger.ts'
import type { DaemonFlags } from './command.ts'
import { mergeValues, readConfigFile } from './config-file.ts'
import type { DaemonSettings } from './options.ts'
import { claimPidfile } from './pidfile.ts'
import { settingsOf } from './settings.ts'

const CONFIG_FILE = '/etc/docker/daemon.json'
const DEFAULT_HOST = 'unix:///var/run/docker.sock'
/** Milliseconds that open requests get to end by themselves when the daemon does. */
const GRACE = 2000

export async function runDaemon(flags: DaemonFlags): Promise<void> {
  const early: string[] = []
  const remember = createLogger({ level: 'debug', write: line => early.push(line) })
  const settings = readSettings(flags, remember)
  if (flags.validate) {
    process.stdout.write('configuration OK\n')
    return
  }
  const logger = createLogger({ level: levelOf(settings), format: settings.logFormat })
  if (settings.debug) for (const line of early) process.stderr.write(line)
  if (process.getuid?.() !== 0) throw invalid('dockerd needs to be started with root privileges')
  const removePidfile = claimPidfile(settings.pidfile)
  try {
    await serve(settings, flags, logger)
  } finally {
    removePidfile()
  }
}

function readSettings(flags: DaemonFlags, logger: Logger): DaemonSettings {
  const path = flags.configFile ?? CONFIG_FILE
  const file = readConfigFile(path, flags.configFile !== undefined)
  const settings = settingsOf(mergeValues(flags.values, file, path), logger)
  if (settings.hosts.length === 0) settings.hosts = [DEFAULT_HOST]
  return settings
}

const levelOf = ({ debug, logLevel }: DaemonSettings): LogLevel =>
  debug ? 'debug' : logLevel === 'fatal' ? 'error' : logLevel

/** What reaches out (pulls, builds) reads the variables, as in dockerd; the options come before them. */
function setProxies({ proxies }: DaemonSettings): void {
  for (const [name, value] of Object.entries(proxies)) {
    const variable = name.replace('-', '_')
    process.env[variable] = value
    process.env[variable.toUpperCase()] = value
  }
}

async function serve(settings: DaemonSettings, flags: DaemonFlags, logger: AdjustableLogger): Promise<void> {
  const ending = untilTold(logger)
  const [{ Engine }, { createApi }, { Metrics, serveMetrics }] = await Promise.all([
    import('../../engine/engine.ts'),
    import('../../api/server.ts'),
    import('../../api/metrics.ts'),
  ])
  setProxies(settings)
  const engine = await Engine.open({
    dataRoot: settings.dataRoot,
    execRoot: settings.execRoot,
    config: settings.engine,
    logger,
  })
  const metrics = settings.metricsAddress === undefined ? undefined : new Metrics(engine)
  const server = createApi(engine, { logger, ...(metrics && { metrics }) })
  const tls = settings.tls && {
    verify: settings.tlsVerify,
    cert: settings.tlsCert,
    key: settings.tlsKey,
    ...(settings.tlsVerify && { ca: settings.tlsCaCert }),
  }
  const listeners: Listener[] = []
  let stopMetrics = () => {}
  try {
    for (const host of settings.hosts) {
      const options = {
        logger,
        ...(settings.group !== undefined && { group: settings.group }),
        ...(tls && { tls }),
      }
      listeners.push(...(await listen(server, host, options)))
      logger.info(`API listen on ${host.replace(/^unix:\/\//, '')}`)
    }
    if (metrics) stopMetrics = await serveMetrics(metrics, settings.metricsAddress!)
    if (wasBuilding(settings.dataRoot)) (await import('../../build/index.ts')).builderOf(engine)
    process.on('SIGHUP', () => reload(engine.config, flags, logger))
    logger.info('Daemon has completed initialization')
    logger.info(`Processing signal '${await ending}'`)
  } finally {
    stopMetrics()
    server.closeIdleConnections()
    await Promise.all(listeners.map(listener => listener.stop(GRACE)))
    await engine.close()
  }
  logger.info('Daemon shutdown complete')
}

/** The name of the first signal that asks for the end. Three of them end the daemon at once, as with dockerd. */
function untilTold(logger: Logger): Promise<string> {
  let asked = 0
  return new Promise(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        asked++
        if (asked === 3) {
          logger.warn('Forcing daemon shutdown without cleanup; 3 interrupts received')
          process.exit(1)
        }
        resolve(signal === 'SIGTERM' ? 'terminated' : 'interrupt')
      })
    }
  })
}

/** What dockerd reloads while it runs; the engine reads these when it uses them. */
const reloadable = [
  'debug',
  'labels',
  'defaultRuntime',
  'runtimes',
  'registryMirrors',
  'insecureRegistries',
  'maxConcurrentDownloads',
  'maxConcurrentUploads',
  'maxDownloadAttempts',
  'shutdownTimeout',
  'defaultUlimits',
] as const

function reload(config: DaemonSettings['engine'], flags: DaemonFlags, logger: AdjustableLogger): void {
  try {
    const settings = readSettings(flags, logger)
    const fresh = settings.engine
    logger.setLevel(levelOf(settings))
    const target = config as Record<string, unknown>
    for (const key of reloadable) {
      if (fresh[key] === undefined) delete target[key]
      else target[key] = fresh[key]
    }
    logger.info('Reloaded configuration')
  } catch (error) {
    logger.error('Could not reload the configuration: the old one stays', { error: messageOf(error) })
  }
}
