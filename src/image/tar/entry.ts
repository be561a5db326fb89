/** What one member of a tar archive says about itself, whichever dialect it is written in. */

/**
 * Bytes as a string with one character (U+0000 to U+00FF) a byte. File names are bytes, not text; so held they compare, split and
 * join as strings do, cost one byte a character, and lose nothing. {@link toBytes} and {@link fromBytes} convert.
 */
export type ByteString = string

export type EntryType = 'file' | 'link' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo'

/** Data of a sparse file: everything else is a hole. Bytes. */
export interface Extent {
  offset: number
  length: number
}

export interface TarEntry {
  /** As in the archive: may be absolute, may contain `..`, ends in `/` for most directories. */
  name: ByteString
  type: EntryType
  /** Permission, setuid, setgid and sticky bits. */
  mode: number
  uid: number
  gid: number
  userName: ByteString
  groupName: ByteString
  /** Bytes that the file has once extracted (with its holes). 0 for all but files. */
  size: number
  /** Whole seconds since 1970; negative before. */
  mtime: number
  /** Nanoseconds after {@link mtime}: 0 to 999,999,999. */
  mtimeNanos: number
  /** Target of a link or symlink. */
  linkName: ByteString
  major: number
  minor: number
  /** Extended attributes, names as in the kernel (`security.capability`). */
  xattrs?: Map<string, Buffer>
  /** Where a sparse file has data. The archive then holds these pieces only, one after another. */
  extents?: Extent[]
}

/** An entry with the fields that were not given set to nothing. */
export function tarEntry(fields: Partial<TarEntry> & { name: ByteString; type: EntryType }): TarEntry {
  return {
    mode: fields.type === 'directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    size: 0,
    mtime: 0,
    mtimeNanos: 0,
    linkName: '',
    major: 0,
    minor: 0,
    ...fields,
  }
}

export function toBytes(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1')
}

export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** Text (a name that a program made up, in UTF-16) as the UTF-8 bytes that a file system keeps. */
export function fromText(text: string): ByteString {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
}

/** For people to read: bytes that are not UTF-8 become U+FFFD. */
export function toText(name: ByteString): string {
  return isAscii(name) ? name : toBytes(name).toString('utf8')
}

export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}
