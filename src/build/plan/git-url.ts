/** URLs that name a git repository, with the ref and the folder in their fragment. */
import { invalid } from '../../errors.ts'

export interface GitUrl {
  /** Without fragment. */
  url: string
  ref?: string
  subfolder?: string
}

const SCP_STYLE = /^[\w.-]+@[\w.-]+:.+/

/** The parts of `text` if it names a git repository: `git://…`, `….git#ref:folder`, `git@host:path`, `github.com/a/b`. */
export function parseGitUrl(text: string): GitUrl | undefined {
  const hash = text.indexOf('#')
  const address = hash < 0 ? text : text.slice(0, hash)
  const fragment = hash < 0 ? '' : text.slice(hash + 1)
  if (!isGit(address)) return undefined
  const colon = fragment.indexOf(':')
  const ref = colon < 0 ? fragment : fragment.slice(0, colon)
  const subfolder = colon < 0 ? '' : fragment.slice(colon + 1)
  if (ref.startsWith('-') || /[\s\0]/.test(ref)) throw invalid(`invalid git ref: ${ref}`)
  return {
    url: address.startsWith('github.com/') ? `https://${address}` : address,
    ...(ref && { ref }),
    ...(subfolder && { subfolder }),
  }
}

function isGit(address: string): boolean {
  if (address.startsWith('github.com/')) return true
  if (/^(git|ssh):\/\//.test(address) || SCP_STYLE.test(address)) return true
  return /^https?:\/\//.test(address) && address.split('?')[0]!.endsWith('.git')
}

export const isHttpUrl = (text: string): boolean => /^https?:\/\//.test(text)
