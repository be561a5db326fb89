/**
 * The launch plan: everything that the shim does to bring up a process, as a flat list of operations. TypeScript makes
 * the list and decides all; native/shim interprets it. It can be printed ({@link formatPlan}), compared and tested without root.
 *
 * A plan has five sections, each a list of {@link Op}:
 *
 * | section | who runs it, and when |
 * | --- | --- |
 * | `host` | the shim, before it makes the process: stdio, log, folders, limits |
 * | `init` | the new process, from its first instruction to `exec`. Host paths work until `pivot`; paths "in the root" are resolved inside it by openat2(RESOLVE_IN_ROOT) always |
 * | `parent` | the shim, side by side with `init`, knowing the process's pid: cgroups, user maps. `init` meets it at `await` |
 * | `start` | the shim, when the launcher says start, before the process is let go from `ready` |
 * | `exit` | the shim, after the process ended and before the exit record is written; also after a failed launch |
 * | `teardown` | the shim, after everybody was told of the exit: removes cgroups |
 *
 * An operation that fails ends the launch with a {@link LaunchError} that names it, unless it is marked `mayFail`.
 *
 * On the wire, little-endian: `u32 magic, u32 version, u32 sections`, then for each section `u32 section, u32 bytes`, then
 * for each operation `u16 code, u16 flags (1: mayFail), u32 bytes` and its fields in table order: integers of 4 or 8 bytes,
 * strings and byte strings as `u32 length, bytes, NUL`, lists as `u32 count` and their items. native/shim/plan.h has the same codes.
 */

import { PlanWriter } from './plan-writer.ts'

/** How a field travels (`?`: it may be left out, and is then 0, '', empty or, for a slot, none). */
type Kind =
  | 'u32'
  | 'i32'
  | 'u64'
  | 'mode' // u32, printed in octal
  | 'flags' // u64, printed in hexadecimal
  | 'bool'
  | 'slot' // i32: index into LaunchRequest.fds; -1 for none
  | 'str'
  | 'strs'
  | 'u32s'
  | 'bytes'
type OptionalKind = `${Kind}?`
type Fields = Readonly<Record<string, Kind | OptionalKind>>

/** One row an operation: its code on the wire, and its fields in order. */
const operations = {
  // ---- host: what the shim itself has to know ----

  /** The process's stdin (`false`: /dev/null), stdout and stderr: pipes, or one terminal, which the `console` op then makes. */
  stdio: [1, { tty: 'bool?', stdin: 'bool?' }],
  /** Where output is logged. format: see {@link LogFormat}; maxSize 0: no rotation; ring: the size of a buffer before the file, written by a process of its own, so that a stuck disk drops lines instead of holding the container back (0: none); attrs: raw JSON. */
  log: [2, { format: 'u32', path: 'str', maxSize: 'u64?', maxFiles: 'u32?', ring: 'u64?', attrs: 'bytes?' }],
  /** CLONE_NEW… flags of the new process, and the v2 cgroup folder that it is born in: an fd of it, or its path. */
  clone: [3, { flags: 'flags', cgroup: 'slot?', cgroupPath: 'str?' }],
  /** Make the process in this PID namespace (an fd or a path such as /proc/1/ns/pid); other namespaces: `setns`. */
  pidNamespace: [4, { fd: 'slot?', path: 'str?' }],

  // ---- files of the host, by absolute path (relative: the shim's folder); also in `init` before `pivot` ----

  /** Not an error where it is there. */
  mkdir: [10, { path: 'str', mode: 'mode' }],
  /** One write(2) to an existing file: cgroup limits, /proc/sys, /proc/self/oom_score_adj. */
  writeFile: [11, { path: 'str', data: 'str' }],
  /** Not an error where it is gone; waits a moment while a cgroup is still busy. */
  rmdir: [12, { path: 'str' }],
  unlink: [13, { path: 'str' }],
  /**
   * Run a program to its end; another exit code than 0 is an error (`detail` says which). stdio: `true` gives it the
   * container's streams (or the console socket of that name in the shim's folder, where a pty arrives), else /dev/null.
   */
  run: [14, { argv: 'strs', env: 'strs?', stdio: 'bool?', console: 'str?' }],
  /** The process is not cloned but is the one whose pid this file has (made by `run`). */
  adopt: [15, { pidFile: 'str' }],
  /** SIGKILL every process that this cgroup.procs lists, until it lists none (for about a second at most). */
  killAll: [16, { path: 'str' }],
  /** Put the content of a file (64 KiB of it) into the exit record, under a name. */
  record: [17, { name: 'str', path: 'str' }],
  /** From now on tell of it when memory runs out: v1's memory.oom_control with the cgroup.event_control beside it, or v2's memory.events. */
  memoryEvents: [18, { path: 'str', control: 'str?' }],

  // ---- parent ----

  /** Write the process's pid into this file (cgroup.procs). */
  join: [20, { path: 'str' }],
  /** Write to a file of /proc/PID: uid_map, gid_map, setgroups. */
  processFile: [21, { name: 'str', data: 'str' }],

  // ---- init: namespaces ----

  /** Wait until `parent` is done. Nothing is known of cgroups or user maps before. */
  await: [30, {}],
  unshare: [31, { flags: 'flags' }],
  /** Join namespaces: an fd's, a path's, or (neither) those of the container that the shim keeps. */
  setns: [32, { flags: 'flags', fd: 'slot?', path: 'str?' }],
  /** Bring up a network interface (`lo`) in the namespace we are in. */
  interfaceUp: [33, { name: 'str' }],

  // ---- init: the root and what is mounted in it ----

  /** Change the propagation (MS_SLAVE | MS_REC, …) of a mount of the host's that this process sees. */
  propagation: [40, { path: 'str', flags: 'flags' }],
  /** The root is this file system, by fsopen; an option is `key=value` or `flag`. */
  rootFs: [41, { type: 'str', options: 'strs', attributes: 'flags?' }],
  /** The root is this detached mount. */
  rootFd: [42, { fd: 'slot' }],
  /** The root is this folder of the host, bound. */
  rootBind: [43, { path: 'str', recursive: 'bool?' }],
  /** Mount a new file system in the root. attributes: MOUNT_ATTR_…; create: 1 makes a missing target folder. */
  mountFs: [
    44,
    {
      type: 'str',
      target: 'str',
      options: 'strs?',
      attributes: 'flags?',
      create: 'u32?',
      propagation: 'flags?',
    },
  ],
  /** Bind a path of the host into the root. create: 1 makes a missing target as folder, 2 as file, 3 as the source is. */
  mountBind: [
    45,
    {
      source: 'str',
      target: 'str',
      recursive: 'bool?',
      set: 'flags?',
      clear: 'flags?',
      propagation: 'flags?',
      create: 'u32?',
      /** The attributes also for what is mounted below. */
      deep: 'bool?',
    },
  ],
  /** Move a detached mount into the root; create as for `mountBind`. */
  mountFd: [
    46,
    {
      fd: 'slot',
      target: 'str',
      set: 'flags?',
      clear: 'flags?',
      propagation: 'flags?',
      create: 'u32?',
      deep: 'bool?',
    },
  ],
  /** Change the attributes of a mount in the root. */
  remount: [47, { target: 'str', set: 'flags?', clear: 'flags?', deep: 'bool?', propagation: 'flags?' }],
  /** Hide a path of the root: /dev/null over a file, an empty read-only folder over a folder. A missing path is fine. */
  mask: [48, { path: 'str' }],
  /** Make a path of the root and what is below it read-only. A missing path is fine. */
  readonly: [49, { path: 'str' }],
  /** A node in the root; replaces nothing: an existing node of the same kind is fine. mode: type and permissions, exactly. */
  mknod: [50, { path: 'str', mode: 'mode', major: 'u32?', minor: 'u32?', uid: 'u32?', gid: 'u32?' }],
  /** A link in the root; an existing file is left. */
  symlink: [51, { target: 'str', path: 'str' }],
  /** A folder in the root, with its parents; one that is there is left as it is. */
  makeFolder: [52, { path: 'str', mode: 'mode', uid: 'u32?', gid: 'u32?' }],
  /** Make the terminal in the root's /dev/pts, owned by uid, our stdio and controlling terminal; `bind`: also as /dev/console. */
  console: [53, { rows: 'u32?', columns: 'u32?', uid: 'u32?', bind: 'bool?' }],
  /** Enter the root and let go of the host's file systems. */
  pivot: [54, {}],

  // ---- init: what the process is ----

  hostname: [60, { name: 'str' }],
  domainname: [61, { name: 'str' }],
  /** RLIMIT_ number; 2^64-1 is unlimited. */
  rlimit: [62, { resource: 'u32', soft: 'u64', hard: 'u64' }],
  /** A session keyring of its own. */
  keyring: [63, { name: 'str' }],
  /** Drop every other capability from the bounding set. Bit n is capability n. */
  bounding: [64, { capabilities: 'flags' }],
  /** Become this user. Capabilities are kept until `capabilities`. stdio pipes are given to the user too. */
  user: [65, { uid: 'u32', gid: 'u32', groups: 'u32s?' }],
  umask: [66, { mask: 'mode' }],
  /** Go there; it has to be inside the root. */
  workingFolder: [67, { path: 'str' }],
  /** What will be executed. argv[0] without a slash is looked up in env's PATH; errors: ENOENT, EACCES, EISDIR. */
  program: [68, { argv: 'strs', env: 'strs' }],
  noNewPrivileges: [69, {}],
  /** Load a BPF program (struct sock_filter[]), flags SECCOMP_FILTER_FLAG_…. */
  seccomp: [70, { flags: 'flags?', filter: 'bytes' }],
  /** The other four sets, as bits. */
  capabilities: [71, { effective: 'flags', permitted: 'flags', inheritable: 'flags', ambient: 'flags' }],
  /** The signal that this process gets when the shim dies. After `user` and `capabilities`, which clear it. */
  parentDeath: [72, { signal: 'u32' }],
  /** Close what is not stdin, stdout, stderr; report; wait for start. */
  ready: [74, {}],
  exec: [75, {}],
} as const satisfies Record<string, readonly [code: number, fields: Fields]>

type Operations = typeof operations
export type OpName = keyof Operations

type Value<K> = K extends `${infer Base}?`
  ? Value<Base>
  : K extends 'u64' | 'flags'
    ? number | bigint
    : K extends 'bool'
      ? boolean
      : K extends 'str'
        ? string
        : K extends 'strs'
          ? readonly string[]
          : K extends 'u32s'
            ? readonly number[]
            : K extends 'bytes'
              ? Uint8Array
              : number

type Required<F> = { [N in keyof F as F[N] extends OptionalKind ? never : N]: Value<F[N]> }
type Optional<F> = { [N in keyof F as F[N] extends OptionalKind ? N : never]?: Value<F[N]> | undefined }
type Flat<T> = { [N in keyof T]: T[N] }

/** One operation: `{ op: 'hostname', name: 'box' }`. */
export type Op = {
  [N in OpName]: Flat<{ op: N; mayFail?: boolean } & Required<Operations[N][1]> & Optional<Operations[N][1]>>
}[OpName]

export const sections = ['host', 'init', 'parent', 'start', 'exit', 'teardown'] as const
export type Section = (typeof sections)[number]

export interface LaunchPlan {
  host: Op[]
  init: Op[]
  parent: Op[]
  start?: Op[]
  exit?: Op[]
  teardown?: Op[]
}

/**
 * The `format` of the `log` op. `jsonFile`: docker's lines `{"log":…,"stream":…,"attrs":…,"time":…}`. `local`: binary records,
 * little-endian: u32 length of the whole record, u64 nanoseconds since 1970, u8 stream (1 stdout, 2 stderr), u8 partial
 * (1: the line goes on in the next record), the bytes without the newline, u32 the same length for reading backwards.
 */
export const LogFormat = { none: 0, jsonFile: 1, local: 2 } as const

export const PLAN_MAGIC = 0x4e4c5047 // "GPLN"
export const PLAN_VERSION = 1

const MAY_FAIL = 1

/** The plan as the shim reads it. Throws RangeError for a string with a NUL in it. */
export function encodePlan(plan: LaunchPlan): Buffer {
  const writer = new PlanWriter()
  const used = sections.filter(section => plan[section]?.length)
  writer.u32(PLAN_MAGIC)
  writer.u32(PLAN_VERSION)
  writer.u32(used.length)
  for (const section of used) {
    writer.u32(sections.indexOf(section))
    const end = writer.reserve()
    for (const op of plan[section]!) writeOp(writer, op)
    writer.fill(end)
  }
  return writer.bytes()
}

function writeOp(writer: PlanWriter, op: Op): void {
  const [code, fields] = operations[op.op] as readonly [number, Fields]
  writer.u16(code)
  writer.u16(op.mayFail ? MAY_FAIL : 0)
  const end = writer.reserve()
  for (const name in fields) {
    const value = (op as unknown as Record<string, unknown>)[name]
    write[baseKind(fields[name]!)](writer, value)
  }
  writer.fill(end)
}

function baseKind(kind: Kind | OptionalKind): Kind {
  return (kind.endsWith('?') ? kind.slice(0, -1) : kind) as Kind
}

/** How a value of each kind is written; `undefined` is a field left out. */
const write: Record<Kind, (writer: PlanWriter, value: unknown) => void> = {
  u32: (writer, value) => writer.u32((value as number | undefined) ?? 0),
  mode: (writer, value) => writer.u32((value as number | undefined) ?? 0),
  i32: (writer, value) => writer.u32(((value as number | undefined) ?? 0) >>> 0),
  slot: (writer, value) => writer.u32(((value as number | undefined) ?? -1) >>> 0),
  bool: (writer, value) => writer.u32(value ? 1 : 0),
  u64: (writer, value) => writer.u64((value as number | bigint | undefined) ?? 0),
  flags: (writer, value) => writer.u64((value as number | bigint | undefined) ?? 0),
  str: (writer, value) => writer.string((value as string | undefined) ?? ''),
  bytes: (writer, value) => writer.blob((value as Uint8Array | undefined) ?? new Uint8Array()),
  strs: (writer, value) =>
    writer.list((value as readonly string[] | undefined) ?? [], item => writer.string(item)),
  u32s: (writer, value) =>
    writer.list((value as readonly number[] | undefined) ?? [], item => writer.u32(item)),
}

/** The plan as text, one operation a line, left-out fields left out: for people, `diff` and tests. */
export function formatPlan(plan: LaunchPlan): string {
  const lines: string[] = []
  for (const section of sections) {
    for (const op of plan[section] ?? []) lines.push(`${section.padEnd(8)} ${formatOp(op)}`)
  }
  return lines.map(line => line + '\n').join('')
}

/** `mountFs type=proc target=/proc attributes=0xe` */
function formatOp(op: Op): string {
  const fields = operations[op.op][1] as Fields
  const values = op as unknown as Record<string, unknown>
  const words = Object.keys(fields)
    .filter(name => values[name] !== undefined && values[name] !== false)
    .map(name => `${name}=${formatValue(baseKind(fields[name]!), values[name])}`)
  return [op.op, ...words, ...(op.mayFail ? ['(may fail)'] : [])].join(' ')
}

function formatValue(kind: Kind, value: unknown): string {
  switch (kind) {
    case 'mode':
      return '0' + (value as number).toString(8)
    case 'flags':
      return '0x' + BigInt.asUintN(64, BigInt(value as number)).toString(16)
    case 'str':
      return quoted(value as string)
    case 'strs':
      return `[${(value as string[]).map(quoted).join(' ')}]`
    case 'u32s':
      return `[${(value as number[]).join(' ')}]`
    case 'bytes':
      return `<${(value as Uint8Array).length} bytes>`
    default:
      return String(value)
  }
}

function quoted(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : JSON.stringify(text)
}

/** The name of an operation by its code on the wire, as errors from the shim give it. */
export function opName(code: number): OpName | undefined {
  return byCode.get(code)
}

const byCode = new Map(Object.entries(operations).map(([name, [code]]) => [code as number, name as OpName]))

/** Every operation's code, so that a test can hold plan.h to it. */
export function opCodes(): Record<string, number> {
  return Object.fromEntries(Object.entries(operations).map(([name, [code]]) => [name, code]))
}
