/** Client libraries that people use, driving the daemon as their documentation says. */
import { execFile, execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { describe, test } from 'node:test'
import { cannotRunDaemon } from './support/daemon.ts'
import { suiteDaemon } from './support/suite.ts'

const folder = path.resolve(import.meta.dirname, 'clients')

/** Installs the libraries once; the reason why they cannot be had, or `false`. */
function cannotInstall(): string | false {
  const stamp = path.join(folder, 'node_modules/.package-lock.json')
  const lock = path.join(folder, 'package-lock.json')
  if (fs.existsSync(stamp) && fs.statSync(stamp).mtimeMs >= fs.statSync(lock).mtimeMs) return false
  try {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'pipe' })
    return false
  } catch (error) {
    return `npm cannot install the client libraries: ${String(error).split('\n')[0]}`
  }
}

describe('client libraries', { skip: cannotRunDaemon() || cannotInstall() }, () => {
  const daemon = suiteDaemon()

  /** Run a script beside the daemon, in its network, so that published ports are reached. */
  const run = (script: string, ...args: string[]) =>
    new Promise<void>((resolve, reject) => {
      const env = {
        ...process.env,
        DOCKER_HOST: daemon.host,
        // testcontainers leaves its lock there.
        TMPDIR: daemon.folder,
        // Its image is on a hub.
        TESTCONTAINERS_RYUK_DISABLED: 'true',
      }
      const command = ['-t', String(daemon.pid), '-n', process.execPath, path.join(folder, script), ...args]
      execFile('nsenter', command, { env, timeout: 120_000 }, (error, stdout, stderr) => {
        if (error) reject(new Error(`${script}: ${stderr}${stdout}\ndaemon: ${daemon.log.slice(-2000)}`))
        else resolve()
      })
    })

  test('dockerode', () => run('dockerode.js', daemon.socket))
  test('testcontainers', () => run('testcontainers.js'))
})
