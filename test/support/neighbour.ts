/** Another host: a network namespace with a cable to the namespace that a daemon runs in. */
import { execFileSync } from 'node:child_process'
import { cannotRunDaemon, type Daemon } from './daemon.ts'
import { lacksPrograms } from './programs.ts'

/** Why a {@link Neighbour} cannot be had here, or `false`: for `test(…, { skip })`. */
export const cannotHaveNeighbour = (): string | false =>
  lacksPrograms({ ip: 'iproute2', nft: 'nftables', curl: 'curl' }) || cannotRunDaemon()

export class Neighbour {
  /** This host's address, and the daemon's host's on the same cable. */
  readonly address = '192.0.2.2'
  readonly daemonAddress = '192.0.2.1'
  readonly name = `gantry-n${process.pid}`

  constructor(daemon: Daemon) {
    const inDaemon = (...args: string[]) => daemon.inNetwork('ip', ...args)
    run('ip', 'netns', 'add', this.name)
    try {
      inDaemon('link', 'add', 'cable0', 'type', 'veth', 'peer', 'name', 'cable1')
      // The peer is sent to the neighbour's namespace by the path of it.
      inDaemon('link', 'set', 'cable1', 'netns', `/run/netns/${this.name}`)
      inDaemon('addr', 'add', `${this.daemonAddress}/24`, 'dev', 'cable0')
      inDaemon('link', 'set', 'cable0', 'up')
      this.run('ip', 'addr', 'add', `${this.address}/24`, 'dev', 'cable1')
      this.run('ip', 'link', 'set', 'cable1', 'up')
      this.run('ip', 'link', 'set', 'lo', 'up')
    } catch (error) {
      this.remove()
      throw error
    }
  }

  /** The standard output of a command that runs on this host. Throws unless it exits 0. */
  run(...command: string[]): string {
    return run('ip', 'netns', 'exec', this.name, ...command)
  }

  /** Whether `url` is answered within two seconds, and what with. */
  fetch(url: string): string | undefined {
    return fetchFrom((...command) => this.run(...command), url)
  }

  remove(): void {
    run('ip', 'netns', 'del', this.name)
  }
}

/** What `url` answers to a client that is run by `execute`; `undefined` where nothing answers within two seconds. */
export function fetchFrom(execute: (...command: string[]) => string, url: string): string | undefined {
  try {
    return execute('curl', '-sf', '-g', '--max-time', '2', url).trim()
  } catch {
    return undefined
  }
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
