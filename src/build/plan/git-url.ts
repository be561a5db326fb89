/** URLs that name a git repository, with the ref and the folder in their fragment or query. */
import { invalid } from '../../errors.ts'

export interface GitUrl {
  /** Without fragment and query. */
  url: string
  ref?: string
  subfolder?: string
  /** The commit that it has to be, or how that begins. */
  checksum?: string
  keepGitDir?: boolean
  /** Fetch submodules too; true unless told. */
  submodules?: boolean
}

const SCP_STYLE = /^[\w.-]+@[\w.-]+:.+/

/**
 * The parts of `text` if it names a git repository: `git://…`, `….git#ref:folder`, `….git?tag=v1&subdir=folder`, `git@host:path`,
 * `github.com/a/b`.
 */
export function parseGitUrl(text: string): GitUrl | undefined {
  const [withQuery = '', ...rest] = text.split('#')
  if (!isGit(withQuery)) return undefined
  const [address = '', ...queries] = withQuery.split('?')
  const fragment = rest.join('#')
  const colon = fragment.indexOf(':')
  const ref = colon < 0 ? fragment : fragment.slice(0, colon)
  const subfolder = colon < 0 ? '' : fragment.slice(colon + 1)
  const found: GitUrl = {
    url: address.startsWith('github.com/') ? `https://${address}` : address,
    ...(ref && { ref }),
    ...(subfolder && { subfolder }),
  }
  for (const [key, value] of new URLSearchParams(queries.join('?'))) add(found, readQuery(key, value))
  if (/^[0-9a-f]{40}$/.test(found.checksum ?? '')) found.ref ??= found.checksum!
  if (found.ref?.startsWith('-') || /[\s\0]/.test(found.ref ?? '')) {
    throw invalid(`invalid git ref: ${found.ref}`)
  }
  return found
}

function readQuery(key: string, value: string): Partial<GitUrl> {
  switch (key) {
    case 'ref':
      return { ref: value }
    case 'tag':
      return { ref: `refs/tags/${value}` }
    case 'branch':
      return { ref: `refs/heads/${value}` }
    case 'subdir':
      return { subfolder: value }
    case 'checksum':
    case 'commit':
      return { checksum: value }
    case 'keep-git-dir':
      return { keepGitDir: bool(key, value) }
    case 'submodules':
      return { submodules: bool(key, value) }
    default:
      throw invalid(`unexpected query ${JSON.stringify(key)} in git URL`)
  }
}

/** What is said twice has to be the same. */
function add(found: GitUrl, said: Partial<GitUrl>): void {
  for (const [field, value] of Object.entries(said)) {
    const before = found[field as keyof GitUrl]
    if (before !== undefined && before !== value) {
      throw invalid(`conflicting ${field} in git URL: ${JSON.stringify(before)} and ${JSON.stringify(value)}`)
    }
  }
  Object.assign(found, said)
}

function bool(key: string, value: string): boolean {
  if (/^(|1|t|true)$/i.test(value)) return true
  if (/^(0|f|false)$/i.test(value)) return false
  throw invalid(`invalid ${key} value in git URL: ${JSON.stringify(value)}`)
}

function isGit(address: string): boolean {
  if (address.startsWith('github.com/')) return true
  if (/^(git|ssh):\/\//.test(address) || SCP_STYLE.test(address)) return true
  return /^https?:\/\//.test(address) && address.split('?')[0]!.endsWith('.git')
}

export const isHttpUrl = (text: string): boolean => /^https?:\/\//.test(text)
