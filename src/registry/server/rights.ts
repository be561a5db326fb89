/** Who may do what: users, rights by repository, and the small file that says so. */
import { invalid } from '../../errors.ts'

export type Action = 'pull' | 'push' | 'delete'
const ACTIONS: readonly string[] = ['pull', 'push', 'delete']

/** A pattern of repository names and what may be done there. */
export interface Right {
  /** `team/app`, `team/*` (one component), `team/**` (any depth), `**` */
  repository: string
  actions: Action[]
}

/**
 * The rights file:
 *
 *     {
 *       "anonymous": [{ "repository": "public/**", "actions": ["pull"] }],
 *       "users": { "ann": [{ "repository": "**", "actions": ["pull", "push", "delete"] }] },
 *       "tokens": { "ci": { "sha256": "<hex of the token>", "rights": [{ "repository": "ci/**", "actions": ["pull", "push"] }] } }
 *     }
 *
 * Users' passwords are in the htpasswd file. A token is sent as a bearer token, or as the password of the user of its name.
 */
export interface RightsFile {
  anonymous?: Right[]
  users?: Record<string, Right[]>
  tokens?: Record<string, { sha256: string; rights: Right[] }>
}

export const EVERYTHING: Right[] = [{ repository: '**', actions: ['pull', 'push', 'delete'] }]
export const PULL_EVERYTHING: Right[] = [{ repository: '**', actions: ['pull'] }]

/** Throws `invalid` with the place of the mistake. */
export function parseRights(text: string): RightsFile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid('rights file: not JSON', error)
  }
  const file = object(value, 'rights file')
  for (const key of Object.keys(file)) {
    if (!['anonymous', 'users', 'tokens'].includes(key))
      throw invalid(`rights file: unknown field ${JSON.stringify(key)}`)
  }
  if (file['anonymous'] !== undefined) checkRights(file['anonymous'], 'anonymous')
  for (const [name, rights] of Object.entries(object(file['users'] ?? {}, 'users')))
    checkRights(rights, `users.${name}`)
  for (const [name, token] of Object.entries(object(file['tokens'] ?? {}, 'tokens'))) {
    const { sha256, rights } = object(token, `tokens.${name}`)
    if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) {
      throw invalid(`rights file: tokens.${name}.sha256 is not 64 hex digits`)
    }
    checkRights(rights, `tokens.${name}.rights`)
  }
  return file as RightsFile
}

function object(value: unknown, where: string): Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw invalid(`rights file: ${where} is not an object`)
  return value as Record<string, unknown>
}

function checkRights(value: unknown, where: string): void {
  if (!Array.isArray(value)) throw invalid(`rights file: ${where} is not a list`)
  for (const [i, right] of value.entries()) {
    const { repository, actions } = object(right, `${where}[${i}]`)
    if (typeof repository !== 'string')
      throw invalid(`rights file: ${where}[${i}].repository is not a string`)
    if (!Array.isArray(actions) || actions.some(action => !ACTIONS.includes(action as string))) {
      throw invalid(`rights file: ${where}[${i}].actions may hold pull, push and delete`)
    }
  }
}

/** Whether `rights` allow all of `actions` on `name`. */
export function allows(rights: readonly Right[], name: string, actions: readonly Action[]): boolean {
  return actions.every(action =>
    rights.some(right => right.actions.includes(action) && matches(right.repository, name)),
  )
}

/** Whether a pattern covers a name. */
export function matches(pattern: string, name: string): boolean {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map(part => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&')))
    .join('')
  return new RegExp(`^${source}$`).test(name)
}
