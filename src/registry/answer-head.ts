/** What {@link file://./direct.ts} understands of HTTP/1.1: heads of answers, and bodies in chunks. RFC 9112. */

/** What is in these chunks, as far as they are whole. RFC 9112, 7.1 */
export function unchunked(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.toString('latin1', at, Math.max(at, end)), 16)
    if (!(size > 0)) return Buffer.concat(parts)
    parts.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

export interface Head {
  status: number
  reason: string
  headers: Record<string, string>
  /** Of the body, where it is said. */
  length: number | undefined
  mayKeep: boolean
}

/** The head of a final answer; `undefined` for anything strange. RFC 9112. */
export function parseHead(head: string): Head | undefined {
  const [first = '', ...lines] = head.split('\r\n')
  const status = /^HTTP\/1\.([01]) ([2-5]\d\d)(?: (.*))?$/.exec(first)
  if (status === null) return undefined
  const fields = new Map<string, string>()
  for (const line of lines) {
    const field = /^([\w!#$%&'*+.^`|~-]+):[ \t]*(.*?)[ \t]*$/.exec(line)
    if (field === null) return undefined
    const name = field[1]!.toLowerCase()
    const before = fields.get(name)
    fields.set(name, before === undefined ? field[2]! : `${before}, ${field[2]}`)
  }
  const length = fields.get('content-length')
  const isSound = length === undefined || (/^\d{1,15}$/.test(length) && !fields.has('transfer-encoding'))
  if (!isSound || /^[23]04$/.test(status[2]!)) return undefined
  return {
    status: Number(status[2]),
    reason: status[3] ?? '',
    headers: Object.fromEntries(fields),
    length: length === undefined ? undefined : Number(length),
    mayKeep: status[1] === '1' && !/close/i.test(fields.get('connection') ?? ''),
  }
}
