/**
 * What tests can leave on the machine that runs them. A run of tests has a tag, and whatever it makes on the host has that
 * tag in its name or in its path: what other programs do meanwhile, a second run of the tests included, is none of its concern.
 */
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NETLINK_NETFILTER } from '../../src/linux/index.ts'
import { Netlink } from '../../src/network/netlink/connection.ts'
import { listTables, readTable } from '../../src/network/netlink/nft-dump.ts'

/** Of the run that this process is part of; empty outside of `npm test`. */
export const testTag = process.env['GANTRY_TEST_RUN'] ?? ''

/** How the names of a test's folders and cgroups begin. */
export const testPrefix = `gantry-test-${testTag}`

/** A run of tests: its folder for temporary files, and a check that nothing of it is left. */
export class TestRun {
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-run-'))
  readonly #tag = path.basename(this.folder).replace('gantry-run-', '')
  readonly #before = new Set(sharedState())

  /** For the processes of the run. */
  get env(): Record<string, string> {
    return { TMPDIR: this.folder, GANTRY_TEST_RUN: this.#tag }
  }

  /** A line for each thing that is left, and the run's folder is away. What is just ending is given `patience` milliseconds. */
  async finish(patience = 5000): Promise<string[]> {
    let left = this.#left()
    for (const end = Date.now() + patience; left.length > 0 && Date.now() < end; left = this.#left())
      await sleep(100)
    try {
      fs.rmSync(this.folder, { recursive: true, force: true })
    } catch (error) {
      left.push(`folder ${this.folder}, which cannot be removed: ${error}`)
    }
    return left
  }

  #left(): string[] {
    return [
      ...taggedState(this.folder, this.#tag),
      ...sharedState().filter(line => !this.#before.has(line)),
    ].sort()
  }
}

/** What has the tag in its name. */
function taggedState(folder: string, tag: string): string[] {
  const tagged = (text: string) => text.includes(tag)
  return [
    ...fs.readdirSync(folder).map(name => `file ${path.join(folder, name)}`),
    ...[...new Set([os.tmpdir(), '/tmp', '/var/tmp'])]
      .flatMap(parent => readFolder(parent).map(name => path.join(parent, name)))
      .filter(file => file !== folder && tagged(file))
      .map(file => `file ${file}`),
    ...readLines('/proc/self/mountinfo')
      .filter(tagged)
      .map(line => `mount ${line}`),
    ...cgroups()
      .filter(tagged)
      .map(group => `cgroup ${group}`),
    ...processes(tagged),
    ...loopDevices(tagged),
  ]
}

/** What has a name that Gantry chose: on the host's own network, and below the cgroup that is the default. */
function sharedState(): string[] {
  const ours = (name: string) => name.startsWith('gantry')
  return [
    ...readFolder('/sys/class/net')
      .filter(name => ours(name) || /^docker|^br-/.test(name))
      .map(name => `link ${name}`),
    ...readFolder('/run/netns')
      .filter(ours)
      .map(name => `network namespace ${name}`),
    ...tables()
      .filter(ours)
      .map(table => `nftables table ${table}`),
    // One with a process in it is somebody's container.
    ...cgroups()
      .filter(group => path.basename(path.dirname(group)) === 'gantry' && isEmpty(group))
      .map(group => `cgroup ${group}`),
  ]
}

/** Two levels below each hierarchy's root: containers and their parents. */
function cgroups(): string[] {
  const root = '/sys/fs/cgroup'
  const hierarchies = [root, ...subfolders(root)]
  const first = hierarchies.flatMap(subfolders)
  return [...new Set([...first, ...first.flatMap(subfolders)])]
}

function isEmpty(group: string): boolean {
  return readLines(path.join(group, 'cgroup.procs')).length === 0
}

function processes(matches: (text: string) => boolean): string[] {
  return readFolder('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap(pid => {
      const [cwd, command, environment] = [
        readLink(`/proc/${pid}/cwd`),
        readLines(`/proc/${pid}/cmdline`).join().replaceAll('\0', ' '),
        readLines(`/proc/${pid}/environ`).join(),
      ]
      return [cwd, command, environment].some(matches) ? [`process ${pid} in ${cwd}: ${command}`] : []
    })
}

function loopDevices(matches: (text: string) => boolean): string[] {
  return readFolder('/sys/block').flatMap(name =>
    readLines(`/sys/block/${name}/loop/backing_file`)
      .filter(matches)
      .map(file => `loop device ${name} on ${file}`),
  )
}

function tables(): string[] {
  if (process.getuid?.() !== 0) return []
  const filter = Netlink.open(NETLINK_NETFILTER)
  try {
    return filter.dump(listTables).flatMap(message => readTable(message)?.table ?? [])
  } finally {
    filter.close()
  }
}

// What is not there, or is gone while one looks, is empty.

function readFolder(folder: string): string[] {
  return orElse(() => fs.readdirSync(folder), [])
}

function subfolders(folder: string): string[] {
  const entries = orElse(() => fs.readdirSync(folder, { withFileTypes: true }), [])
  return entries.filter(entry => entry.isDirectory()).map(entry => path.join(folder, entry.name))
}

function readLines(file: string): string[] {
  return orElse(() => fs.readFileSync(file, 'utf8').split('\n').filter(Boolean), [])
}

function readLink(file: string): string {
  return orElse(() => fs.readlinkSync(file), '')
}

function orElse<T>(read: () => T, absent: T): T {
  try {
    return read()
  } catch {
    return absent
  }
}
