/**
 * `-u user[:group]` and `--group-add`, looked up in the container's own /etc/passwd and /etc/group. The rules (a number is
 * always an id, an unknown number is allowed, an unknown name is not) and texts are Docker's; passwd(5), group(5).
 */
import { invalid } from '../errors.ts'
import type { UserIds } from './spec.ts'

export interface UserQuery {
  /** `name`, `1000`, `name:group`, `1000:1000`, `:group`, or empty for root. */
  user?: string
  /** Names or numbers. */
  groupAdd?: readonly string[]
  /** Content of the container's /etc/passwd; empty where it has none. */
  passwd?: string
  group?: string
}

export interface ResolvedUser extends UserIds {
  additionalGids: number[]
  /** What HOME is where the environment does not say: the passwd entry's, or `/`. */
  home: string
}

const MAX_ID = 2 ** 31 - 1

/** Resolve a user. Throws Docker's errors (`unable to find user nosuch: no matching entries in passwd file`, …). */
export function resolveUser(query: UserQuery): ResolvedUser {
  const [userPart = '', groupPart = ''] = (query.user ?? '').split(/:(.*)/s)
  const wantedUid = parseId(userPart || '0')
  const entry = parsePasswd(query.passwd ?? '').find(candidate =>
    wantedUid === undefined ? candidate.name === userPart : candidate.uid === wantedUid,
  )
  const uid = entry?.uid ?? checkId(wantedUid ?? fail('user', userPart, 'passwd'))
  const groups = needsGroups(groupPart, entry, query) ? parseGroup(query.group ?? '') : []
  const gid = groupPart ? findGroup(groupPart, groups) : (entry?.gid ?? 0)
  const memberships = groupPart
    ? []
    : groups.filter(group => entry && group.members.includes(entry.name)).map(group => group.gid)
  const added = (query.groupAdd ?? []).map(name => findGroup(name, groups))
  return { uid, gid, additionalGids: [...new Set([gid, ...memberships, ...added])], home: entry?.home || '/' }
}

const needsGroups = (groupPart: string, entry: PasswdEntry | undefined, query: UserQuery): boolean =>
  groupPart !== '' || entry !== undefined || (query.groupAdd ?? []).length > 0

function findGroup(wanted: string, groups: GroupEntry[]): number {
  const id = parseId(wanted)
  const entry = groups.find(group => (id === undefined ? group.name === wanted : group.gid === id))
  return entry?.gid ?? checkId(id ?? fail('group', wanted, 'group'))
}

function fail(kind: string, name: string, file: string): never {
  throw invalid(`unable to find ${kind} ${name}: no matching entries in ${file} file`)
}

/** A decimal number as it stands in the argument; `undefined` for a name. */
function parseId(text: string): number | undefined {
  return /^[+-]?\d{1,18}$/.test(text) ? Number(text) : undefined
}

function checkId(id: number): number {
  if (id < 0 || id > MAX_ID) throw invalid(`uids and gids must be in range 0-${MAX_ID}`)
  return id
}

interface PasswdEntry {
  name: string
  uid: number
  gid: number
  home: string
}

function parsePasswd(text: string): PasswdEntry[] {
  return records(text).map(([name = '', , uid, gid, , home = '']) => ({
    name,
    uid: Number(uid) || 0,
    gid: Number(gid) || 0,
    home,
  }))
}

interface GroupEntry {
  name: string
  gid: number
  members: string[]
}

function parseGroup(text: string): GroupEntry[] {
  return records(text).map(([name = '', , gid, members = '']) => ({
    name,
    gid: Number(gid) || 0,
    members: members.split(','),
  }))
}

function records(text: string): string[][] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => line.split(':'))
}
