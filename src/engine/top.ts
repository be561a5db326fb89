/**
 * `docker top` without executing ps: the container's processes read from /proc, shown in the columns that ps(1) would show.
 */
import * as fs from 'node:fs'
import { conflict, internal } from '../errors.ts'
import * as linux from '../linux/index.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { TopResult } from './results.ts'

export async function topContainer(
  _context: EngineContext,
  container: Container,
  psArgs = '-ef',
): Promise<TopResult> {
  if (!container.task) {
    if (container.record.state.status === 'restarting') {
      throw conflict(`Container ${container.id} is restarting, wait until the container is running`)
    }
    throw conflict(`container ${container.id} is not running`)
  }
  const columns = parseColumns(psArgs || '-ef')
  const host = readHost()
  const processes = container
    .cgroup!.processes()
    .map(readProcess)
    .filter(process => process !== undefined)
    .sort((a, b) => a.pid - b.pid)
  return {
    titles: columns.map(column => column.title),
    processes: processes.map(process => columns.map(column => column.value(process, host))),
  }
}

// --- what ps takes ---

interface Column {
  title: string
  value(process: Process, host: Host): string
}

const FULL = ['uid_f', 'pid', 'ppid', 'c', 'stime', 'tname', 'time', 'cmd']
const AUX = ['user', 'pid', '%cpu', '%mem', 'vsz', 'rss', 'tname', 'stat', 'start_time', 'bsdtime', 'args']
const LONG = [
  'f',
  's',
  'uid_n',
  'pid',
  'ppid',
  'c',
  'pri',
  'ni',
  'addr',
  'sz',
  'wchan',
  'tname',
  'time',
  'ucmd',
]
const SHORT = ['pid', 'tname', 'time', 'ucmd']
const BSD = ['pid', 'tname', 'stat', 'bsdtime', 'args']

/** `-ef`, `aux`, `-o pid,comm`, `-eo user,args`, … Raises in the words of ps for what it does not know. */
function parseColumns(text: string): Column[] {
  const words = text.trim().split(/\s+/)
  const chosen: string[] = []
  let style = ''
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const format = /^(?:--format=?|-?[a-zA-Z]*o)(.*)$/.exec(word)
    if (format && (word.startsWith('--format') || /^-?[a-zA-Z]*?o/.test(word))) {
      const [flags, rest] = splitFormat(word)
      style += flags
      chosen.push(...(rest || words[++i] || '').split(','))
    } else style += word
  }
  if (chosen.length > 0) return withPid(chosen.map(findColumn))
  const unknown = /[^-aAdefFlLTwxuj]/.exec(style.replace(/--\w+/g, ''))
  if (unknown) throw internal(`ps: error: unsupported option (${unknown[0]}); use -o with a list of columns`)
  const names =
    !style.startsWith('-') && style.includes('u')
      ? AUX
      : style.includes('f')
        ? FULL
        : style.includes('l')
          ? LONG
          : style.startsWith('-')
            ? SHORT
            : BSD
  return names.map(findColumn)
}

function splitFormat(word: string): [flags: string, rest: string] {
  if (word.startsWith('--format')) return ['', word.slice('--format'.length).replace(/^=/, '')]
  const at = word.indexOf('o')
  return [word.slice(0, at), word.slice(at + 1)]
}

/** Docker finds the container's processes by the PID column, so there has to be one. */
function withPid(columns: Column[]): Column[] {
  if (!columns.some(column => column.title === 'PID')) throw internal("Couldn't find PID field in ps output")
  return columns
}

function findColumn(wanted: string): Column {
  const [name = '', title] = wanted.trim().split('=')
  const column = COLUMNS[name.toLowerCase()]
  if (!column) throw internal(`ps: error: unknown user-defined format specifier ${JSON.stringify(name)}`)
  return title ? { ...column, title } : column
}

const column = (title: string, value: Column['value']): Column => ({ title, value })
const user = (uid: number, host: Host): string => {
  const name = host.users.get(uid)
  return name === undefined || name.length > 8 ? String(uid) : name
}
const kilobytes = (bytes: number): string => String(Math.round(bytes / 1024))
const args = ({ argv, name }: Process): string => (argv.length > 0 ? argv.join(' ') : `[${name}]`)
const percent = (value: number): string => value.toFixed(1)
const cpuPercent = (process: Process, host: Host): number => {
  const lived = host.uptime - process.startedAfterBoot
  return lived > 0 ? Math.min(99.9, (process.cpuSeconds / lived) * 100) : 0
}

const COLUMNS: Record<string, Column> = {
  pid: column('PID', process => String(process.pid)),
  ppid: column('PPID', process => String(process.parent)),
  pgid: column('PGID', process => String(process.group)),
  pgrp: column('PGRP', process => String(process.group)),
  sid: column('SID', process => String(process.session)),
  sess: column('SESS', process => String(process.session)),
  uid_f: column('UID', (process, host) => user(process.uid, host)),
  uid_n: column('UID', process => String(process.uid)),
  uid: column('UID', process => String(process.uid)),
  euid: column('EUID', process => String(process.uid)),
  gid: column('GID', process => String(process.gid)),
  user: column('USER', (process, host) => user(process.uid, host)),
  euser: column('EUSER', (process, host) => user(process.uid, host)),
  ruser: column('RUSER', (process, host) => user(process.uid, host)),
  group: column('GROUP', (process, host) => host.groups.get(process.gid) ?? String(process.gid)),
  c: column('C', (process, host) => String(Math.floor(cpuPercent(process, host)))),
  '%cpu': column('%CPU', (process, host) => percent(cpuPercent(process, host))),
  pcpu: column('%CPU', (process, host) => percent(cpuPercent(process, host))),
  '%mem': column('%MEM', (process, host) => percent((process.rss / host.memory) * 100)),
  pmem: column('%MEM', (process, host) => percent((process.rss / host.memory) * 100)),
  vsz: column('VSZ', process => kilobytes(process.vsize)),
  vsize: column('VSZ', process => kilobytes(process.vsize)),
  rss: column('RSS', process => kilobytes(process.rss)),
  rssize: column('RSS', process => kilobytes(process.rss)),
  sz: column('SZ', process => String(Math.round(process.vsize / host4k))),
  tname: column('TTY', process => process.tty),
  tty: column('TT', process => process.tty),
  tt: column('TT', process => process.tty),
  stat: column('STAT', process => process.stat),
  state: column('S', process => process.state),
  s: column('S', process => process.state),
  stime: column('STIME', (process, host) => startText(process, host)),
  start_time: column('START', (process, host) => startText(process, host)),
  start: column('STARTED', (process, host) => clockText(process, host)),
  lstart: column('STARTED', (process, host) => new Date(startedAt(process, host)).toString().slice(0, 24)),
  etime: column('ELAPSED', (process, host) => elapsedText(host.uptime - process.startedAfterBoot)),
  etimes: column('ELAPSED', (process, host) => String(Math.floor(host.uptime - process.startedAfterBoot))),
  time: column('TIME', process => clock(process.cpuSeconds)),
  cputime: column('TIME', process => clock(process.cpuSeconds)),
  bsdtime: column('TIME', process => bsdClock(process.cpuSeconds)),
  comm: column('COMMAND', process => process.name),
  ucmd: column('CMD', process => process.name),
  ucomm: column('COMMAND', process => process.name),
  cmd: column('CMD', args),
  args: column('COMMAND', args),
  command: column('COMMAND', args),
  f: column('F', process => String((process.flags >>> 6) & 7)),
  pri: column('PRI', process => String(39 - process.priority)),
  ni: column('NI', process => String(process.nice)),
  nice: column('NI', process => String(process.nice)),
  nlwp: column('NLWP', process => String(process.threads)),
  thcount: column('THCNT', process => String(process.threads)),
  addr: column('ADDR', () => '-'),
  wchan: column('WCHAN', () => '-'),
  psr: column('PSR', process => String(process.processor)),
}

// --- times ---

const startedAt = (process: Process, host: Host): number =>
  Date.now() - (host.uptime - process.startedAfterBoot) * 1000

function clockText(process: Process, host: Host): string {
  return new Date(startedAt(process, host)).toTimeString().slice(0, 8)
}

/** Today the time, this year the day, before that the year. */
function startText(process: Process, host: Host): string {
  const start = new Date(startedAt(process, host))
  const now = new Date()
  if (start.toDateString() === now.toDateString()) return start.toTimeString().slice(0, 5)
  if (start.getFullYear() === now.getFullYear()) return start.toDateString().slice(4, 10).replace(' ', '')
  return String(start.getFullYear())
}

const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')

function clock(seconds: number): string {
  const days = Math.floor(seconds / 86400)
  const text = `${two((seconds % 86400) / 3600)}:${two((seconds % 3600) / 60)}:${two(seconds % 60)}`
  return days > 0 ? `${days}-${text}` : text
}

const bsdClock = (seconds: number): string => `${Math.floor(seconds / 60)}:${two(seconds % 60)}`

function elapsedText(seconds: number): string {
  return clock(seconds).replace(/^00:/, '')
}

// --- /proc ---

interface Process {
  pid: number
  parent: number
  group: number
  session: number
  uid: number
  gid: number
  name: string
  argv: string[]
  state: string
  stat: string
  tty: string
  flags: number
  cpuSeconds: number
  startedAfterBoot: number
  priority: number
  nice: number
  threads: number
  processor: number
  vsize: number
  rss: number
}

interface Host {
  uptime: number
  memory: number
  users: Map<number, string>
  groups: Map<number, string>
}

const host4k = 4096
let ticks = 0
let page = 0

/** proc(5). undefined for one that ended meanwhile. */
function readProcess(pid: number): Process | undefined {
  ticks ||= linux.clockTicks()
  page ||= linux.pageSize()
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    const { uid, gid } = fs.statSync(`/proc/${pid}`)
    const argv = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
    const close = stat.lastIndexOf(')')
    const field = stat.slice(close + 2).split(' ')
    const number = (index: number): number => Number(field[index - 3])
    const [group, session, nice, threads] = [number(5), number(6), number(19), number(20)]
    return {
      pid,
      parent: number(4),
      group,
      session,
      uid,
      gid,
      name: stat.slice(stat.indexOf('(') + 1, close),
      argv,
      state: field[0]!,
      stat:
        field[0]! +
        (nice < 0 ? '<' : nice > 0 ? 'N' : '') +
        (session === pid ? 's' : '') +
        (threads > 1 ? 'l' : '') +
        (number(8) === group ? '+' : ''),
      tty: terminalName(number(7)),
      flags: number(9),
      cpuSeconds: (number(14) + number(15)) / ticks,
      startedAfterBoot: number(22) / ticks,
      priority: number(18),
      nice,
      threads,
      processor: number(39),
      vsize: number(23),
      rss: number(24) * page,
    }
  } catch {
    return undefined
  }
}

/** 136 and the following majors are pseudo-terminals. */
function terminalName(device: number): string {
  if (device === 0) return '?'
  const major = (device >>> 8) & 0xfff
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00)
  return major >= 136 && major <= 143 ? `pts/${minor + (major - 136) * 256}` : '?'
}

function readHost(): Host {
  const memory = /MemTotal:\s+(\d+)/.exec(fs.readFileSync('/proc/meminfo', 'utf8'))
  return {
    uptime: Number.parseFloat(fs.readFileSync('/proc/uptime', 'utf8')),
    memory: Number(memory?.[1] ?? 1) * 1024,
    users: readNames('/etc/passwd'),
    groups: readNames('/etc/group'),
  }
}

function readNames(file: string): Map<number, string> {
  const names = new Map<number, string>()
  if (!fs.existsSync(file)) return names
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const [name, , id] = line.split(':')
    if (name && id && !names.has(Number(id))) names.set(Number(id), name)
  }
  return names
}
