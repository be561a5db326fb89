/** What the kernel refused: what was asked, the errno, and the kernel's own sentence where it has one. */
import { errnoText } from '../../linux/index.ts'
import { Attributes, type Message, NLM_F_ACK_TLVS, NLM_F_CAPPED } from './message.ts'

const NLMSGERR_ATTR_MSG = 1
const NLMSGERR_ATTR_OFFS = 2
const NLMSGERR_ATTR_MISS_TYPE = 5

export class NetlinkError extends Error {
  /** `EEXIST`, … */
  readonly code: string
  /** Positive. */
  readonly errno: number
  /** What was asked, in a person's words. */
  readonly what: string
  /** The kernel's extended message; '' where it gave none. */
  readonly extended: string

  constructor(errno: number, what: string, extended = '') {
    const [code, text] = errnoText(errno)
    super(`${what}: ${text}${extended === '' ? '' : ` (${extended})`}`)
    this.name = 'NetlinkError'
    this.code = code
    this.errno = errno
    this.what = what
    this.extended = extended
  }
}

/** What an NLMSG_ERROR says. Errno 0 is success. linux/netlink.h: struct nlmsgerr. */
export function readAcknowledgement(message: Message): { errno: number; extended: string } {
  const view = new DataView(message.body.buffer, message.body.byteOffset, message.body.byteLength)
  const errno = message.body.length >= 4 ? -view.getInt32(0, true) : 0
  if ((message.flags & NLM_F_ACK_TLVS) === 0 || message.body.length < 20) return { errno, extended: '' }
  // The header of the request follows, and its whole body unless the answer is capped (or a success).
  const skipped = (message.flags & NLM_F_CAPPED) !== 0 ? 20 : 4 + ((view.getUint32(4, true) + 3) & ~3)
  const attributes = new Attributes(message.body, skipped)
  const parts = [attributes.string(NLMSGERR_ATTR_MSG)]
  const missing = attributes.u32(NLMSGERR_ATTR_MISS_TYPE)
  if (missing !== undefined) parts.push(`attribute ${missing} is missing`)
  const offset = attributes.u32(NLMSGERR_ATTR_OFFS)
  if (offset !== undefined) parts.push(`at byte ${offset} of the request`)
  return { errno, extended: parts.filter(part => part !== undefined).join(', ') }
}
