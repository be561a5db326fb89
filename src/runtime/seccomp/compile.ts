/**
 * From a seccomp specification to a BPF program. For each architecture the system call numbers are sorted into ranges with the
 * same verdict, and a balanced tree of comparisons finds the range: some seven steps, whatever the number. Verdicts that do
 * not depend on arguments are constants, so the kernel answers them from a bitmap without running the program at all.
 *
 * Meaning as libseccomp gives it, which other runtimes use: a rule without conditions beats one with; a number beyond
 * every one that the profile names is ENOSYS, so that programs fall back from system calls which the profile's author could
 * not know (as runc does); an architecture that is not listed kills.
 */
import { invalid, notImplemented } from '../../errors.ts'
import type { SeccompAction, SeccompArgument, SeccompRule, SeccompSpec } from '../spec.ts'
import { archFacts, archOf, type SeccompArch, syscallNumbers, X32_BIT } from './architectures.ts'
import { argumentHigh, argumentLow, assemble, DATA_ARCH, DATA_NR, type Item } from './assembler.ts'

export interface SeccompFilter {
  /** `struct sock_filter[]` */
  program: Uint8Array
  /** SECCOMP_FILTER_FLAG_… */
  flags: number
}

const RETURN = {
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
} as const satisfies Record<SeccompAction, number>

const FLAGS: Record<string, number> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1 << 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
}

const EPERM = 1
const ENOSYS = 38
const KILL = RETURN.SCMP_ACT_KILL

const compiled = new WeakMap<SeccompSpec, Map<SeccompArch, SeccompFilter>>()

/** The filter for a specification on this architecture; the same specification object is compiled once. */
export function compileSeccomp(spec: SeccompSpec, native: SeccompArch): SeccompFilter {
  let byArch = compiled.get(spec)
  if (!byArch) compiled.set(spec, (byArch = new Map()))
  let filter = byArch.get(native)
  if (!filter) byArch.set(native, (filter = compile(spec, native)))
  return filter
}

function compile(spec: SeccompSpec, native: SeccompArch): SeccompFilter {
  const fallback = returnValue(spec.defaultAction, spec.defaultErrnoRet)
  const listed = (spec.architectures ?? []).map(archOf).filter(arch => arch !== undefined)
  const arches = [...new Set([native, ...listed])]
  const blocks = arches.map(arch => ({ arch, items: architecture(spec, arch, fallback) }))
  const items: Item[] = [{ load: DATA_ARCH }, ...dispatch(arches)]
  for (const { arch, items: block } of blocks) {
    items.push({ label: arch })
    if (arch !== 'x32') items.push({ load: DATA_NR })
    // x32 has amd64's audit number: its calls are told by a bit. Where it is not listed they are foreign.
    if (arch === 'amd64') {
      items.push({ if: 'ge', value: X32_BIT, yes: arches.includes('x32') ? 'x32' : 'foreign' })
    }
    items.push(...block)
  }
  items.push({ label: 'foreign' }, { return: KILL })
  return { program: assemble(items), flags: filterFlags(spec) }
}

function dispatch(arches: SeccompArch[]): Item[] {
  const told = arches.filter(arch => arch !== 'x32')
  return told.map((arch, index) => ({
    if: 'eq',
    value: archFacts[arch].audit,
    yes: arch,
    ...(index === told.length - 1 && { no: 'foreign' }),
  }))
}

function filterFlags(spec: SeccompSpec): number {
  return (spec.flags ?? []).reduce((flags, name) => {
    const flag = FLAGS[name]
    if (flag === undefined) throw invalid(`string ${name} is not a valid seccomp flag`)
    return flags | flag
  }, 0)
}

function returnValue(action: SeccompAction, errno: number | undefined): number {
  const value = RETURN[action]
  if (value === undefined) throw invalid(`string ${action} is not a valid action for seccomp`)
  if (action === 'SCMP_ACT_NOTIFY') throw notImplemented('seccomp profiles with SCMP_ACT_NOTIFY')
  const carriesErrno = action === 'SCMP_ACT_ERRNO' || action === 'SCMP_ACT_TRACE'
  return carriesErrno ? (value | ((errno ?? EPERM) & 0xffff)) >>> 0 : value
}

// --- verdicts ---

/** A constant, or alternatives that are tried in order before the default. */
type Verdict = number | Alternative[]

interface Alternative {
  /** All must hold. */
  conditions: SeccompArgument[]
  result: number
}

function architecture(spec: SeccompSpec, arch: SeccompArch, fallback: number): Item[] {
  const verdicts = new Map<number, Verdict>()
  const numbers = syscallNumbers(arch)
  let highest = -1
  for (const rule of spec.syscalls ?? []) {
    const result = returnValue(rule.action, rule.errnoRet)
    const alternatives = alternativesOf(rule, result)
    for (const name of rule.names) {
      const number = numbers.get(name)
      if (number === undefined) continue
      highest = Math.max(highest, number)
      if (result !== fallback) add(verdicts, number, alternatives, result)
    }
  }
  return tree(ranges(verdicts, fallback, unknownFrom(spec, highest)), { arch, fallback, next: 0 })
}

/** Several conditions on one argument are alternatives; on different ones they hold together. */
function alternativesOf(rule: SeccompRule, result: number): Alternative[] {
  const conditions = rule.args ?? []
  for (const { index, op } of conditions) {
    if (!(index >= 0 && index <= 5)) {
      throw invalid(
        `error creating seccomp syscall condition for syscall ${rule.names[0]}: syscalls only have up to 6 arguments (${index} given)`,
      )
    }
    if (!(op in OPERATORS)) throw invalid(`string ${op} is not a valid operator for seccomp`)
  }
  const repeats = new Set(conditions.map(condition => condition.index)).size < conditions.length
  return repeats
    ? conditions.map(condition => ({ conditions: [condition], result }))
    : [{ conditions, result }]
}

function add(
  verdicts: Map<number, Verdict>,
  number: number,
  alternatives: Alternative[],
  result: number,
): void {
  const present = verdicts.get(number)
  if (typeof present === 'number') return
  const unconditional = alternatives.some(({ conditions }) => conditions.length === 0)
  verdicts.set(number, unconditional ? result : [...(present ?? []), ...alternatives])
}

/** The first number that gets ENOSYS; only where unknown calls would be refused otherwise. */
function unknownFrom(spec: SeccompSpec, highest: number): number | undefined {
  const lenient = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'].includes(spec.defaultAction)
  return lenient || highest < 0 ? undefined : highest + 1
}

interface Range {
  from: number
  verdict: Verdict
}

function ranges(verdicts: Map<number, Verdict>, fallback: number, unknown: number | undefined): Range[] {
  const list: Range[] = [{ from: 0, verdict: fallback }]
  const push = (from: number, verdict: Verdict): void => {
    const last = list.at(-1)!
    if (last.verdict === verdict) return
    if (last.from === from) {
      list.pop()
      if (list.at(-1)?.verdict === verdict) return
    }
    list.push({ from, verdict })
  }
  for (const number of [...verdicts.keys()].sort((a, b) => a - b)) {
    push(number, verdicts.get(number)!)
    push(number + 1, fallback)
  }
  if (unknown !== undefined) push(unknown, returnValue('SCMP_ACT_ERRNO', ENOSYS))
  return list
}

// --- code ---

interface Scope {
  arch: SeccompArch
  /** What happens when no alternative holds. */
  fallback: number
  next: number
}

const label = (scope: Scope): string => `${scope.arch}-${scope.next++}`

/** A balanced tree over sorted ranges; the number is in the accumulator. */
function tree(list: Range[], scope: Scope): Item[] {
  if (list.length === 1) return verdictItems(list[0]!.verdict, scope)
  const middle = list.length >> 1
  const right = label(scope)
  return [
    { if: 'ge', value: list[middle]!.from, yes: right },
    ...tree(list.slice(0, middle), scope),
    { label: right },
    ...tree(list.slice(middle), scope),
  ]
}

function verdictItems(verdict: Verdict, scope: Scope): Item[] {
  if (typeof verdict === 'number') return [{ return: verdict }]
  return [
    ...verdict.flatMap(({ conditions, result }) => {
      const miss = label(scope)
      return [
        ...conditions.flatMap(condition => conditionItems(condition, miss, scope)),
        { return: result },
        { label: miss },
      ]
    }),
    { return: scope.fallback },
  ]
}

/** How an operator is made of "equal", "greater" and "greater or equal", and whether its sense is turned round. */
const OPERATORS = {
  SCMP_CMP_EQ: ['eq', false],
  SCMP_CMP_NE: ['eq', true],
  SCMP_CMP_GT: ['gt', false],
  SCMP_CMP_LE: ['gt', true],
  SCMP_CMP_GE: ['ge', false],
  SCMP_CMP_LT: ['ge', true],
  SCMP_CMP_MASKED_EQ: ['eq', false],
} as const

/** Falls through where the condition holds, else goes to `miss`. */
function conditionItems(condition: SeccompArgument, miss: string, scope: Scope): Item[] {
  const [comparison, negated] = OPERATORS[condition.op]
  const masked = condition.op === 'SCMP_CMP_MASKED_EQ'
  const mask = masked ? words(condition.value) : undefined
  const value = words(masked ? (condition.valueTwo ?? 0) : condition.value)
  const hit = label(scope)
  const [yes, no] = negated ? [miss, hit] : [hit, miss]
  const low: Item[] = [
    { load: argumentLow(condition.index) },
    ...(mask ? [{ and: mask.low }] : []),
    { if: comparison, value: value.low, yes: yes, no: no },
    { label: hit },
  ]
  if (archFacts[scope.arch].narrow || (mask && mask.high === 0 && value.high === 0)) return low
  // The high half decides, unless it is equal: greater is a yes for gt and ge, and a no for eq.
  const high: Item[] = [
    { load: argumentHigh(condition.index) },
    ...(mask ? [{ and: mask.high }] : []),
    ...(comparison === 'eq' ? [] : [{ if: 'gt', value: value.high, yes: yes } as const]),
    ...equalOr(value.high, no, scope),
  ]
  return [...high, ...low]
}

function equalOr(value: number, no: string, scope: Scope): Item[] {
  const same = label(scope)
  return [{ if: 'eq', value, yes: same, no }, { label: same }]
}

/** JSON numbers carry 53 bits; profiles use at most 32 of them, and -1 for all 64. */
function words(value: number): { low: number; high: number } {
  const wide = BigInt.asUintN(64, BigInt(value))
  return { low: Number(wide & 0xffffffffn), high: Number(wide >> 32n) }
}
