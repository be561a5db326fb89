/** Names in archives, and the absolute paths inside a root that they mean. All of them bytes: {@link ByteString}. */
import { type ByteString, isAscii, toBytes } from './entry.ts'

/**
 * The absolute path, without `.`, `..`, doubled or trailing slashes. `..` at the top stays at the top, so the answer never
 * leaves the root, as with Docker: `../../x` is `/x`.
 */
export function cleanPath(name: ByteString): ByteString {
  let clean = name.startsWith('./') ? name.slice(1) : name.startsWith('/') ? name : `/${name}`
  if (clean.length > 1 && clean.endsWith('/')) clean = clean.slice(0, -1)
  if (!/\/\/|\/\.\.?(?:\/|$)/.test(clean)) return clean
  const parts: string[] = []
  for (const part of clean.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

/** Whether a name climbs above the root it is meant for. */
export function escapes(name: ByteString): boolean {
  if (!name.includes('..')) return false
  let depth = 0
  for (const part of name.split('/')) {
    if (part === '..') depth--
    else if (part !== '' && part !== '.') depth++
    if (depth < 0) return true
  }
  return false
}

/** What stands before the last slash; `/` for what is at the top. */
export function parentPath(path: ByteString): ByteString {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

export function baseName(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf('/') + 1)
}

export function joinPath(folder: ByteString, name: ByteString): ByteString {
  return folder === '/' ? `/${name}` : `${folder}/${name}`
}

/** The form that Node's `fs` takes for exactly these bytes. */
export function fsPath(path: ByteString): string | Buffer {
  return isAscii(path) ? path : toBytes(path)
}
