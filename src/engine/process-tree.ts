/** Ending a process with everything that it started. */
import * as fs from 'node:fs'
import { hasCode } from '../errors.ts'

/**
 * SIGKILL to `root`, to its descendants, and to what stayed in its session after its own parent had gone. `candidates` answers
 * the pids that may belong to it. Everything found is stopped before anything is killed: what is stopped starts nothing new, so
 * that looking again until nothing is found finds all of it.
 */
export function killTree(root: number, candidates: () => number[]): void {
  const found = new Set<number>()
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const pid of family(root, candidates())) {
      if (found.has(pid)) continue
      found.add(pid)
      signal(pid, 'SIGSTOP')
    }
  }
  for (const pid of found) signal(pid, 'SIGKILL')
}

function family(root: number, pids: number[]): Set<number> {
  const members = new Set<number>()
  const children = new Map<number, number[]>()
  for (const pid of [root, ...pids]) {
    const relations = relationsOf(pid)
    if (!relations) continue
    children.set(relations.parent, [...(children.get(relations.parent) ?? []), pid])
    if (pid === root || relations.session === root) members.add(pid)
  }
  // A set that grows while it is walked is walked to its end.
  for (const pid of members) for (const child of children.get(pid) ?? []) members.add(child)
  return members
}

/** Fields 4 and 6 of /proc/PID/stat; `undefined` for what has gone. proc(5) */
function relationsOf(pid: number): { parent: number; session: number } | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? undefined : { parent: Number(parent), session: Number(session) }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}
