/**
 * nftables: tables, chains, sets and maps, their elements, and rules. Changes travel in transactions ({@link begin}, {@link end}):
 * all of it happens at once or nothing does. linux/netfilter/nf_tables.h
 */
import { Attributes, type Message, NLM_F_APPEND, NLM_F_CREATE, type Request, type Writer } from './message.ts'
import { type Expression, type Verdict, writeData } from './nft-expressions.ts'

export type TableFamily = 'inet' | 'ip' | 'ip6' | 'bridge'
const FAMILIES = { inet: 1, ip: 2, bridge: 7, ip6: 10 } as const

export interface TableRef {
  family: TableFamily
  table: string
}

const NFNL_SUBSYS_NFTABLES = 10
const subsystem = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message
const NFT_MSG = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  newSet: 9,
  getSet: 10,
  newElements: 12,
  getElements: 13,
  deleteElements: 14,
  getGeneration: 16,
} as const

const frame = (type: number, what: string): Request => ({
  type,
  flags: 0,
  what,
  write(writer) {
    writer.u8(0)
    writer.u8(0)
    writer.be16(NFNL_SUBSYS_NFTABLES)
  },
})

export const begin = frame(0x10, 'begin the rules transaction')
export const end = frame(0x11, 'end the rules transaction')

function request(
  message: number,
  flags: number,
  ref: { family: TableFamily },
  what: string,
  write: (writer: Writer) => void,
): Request {
  return {
    type: subsystem(message),
    flags,
    what,
    write(writer) {
      writer.u8(FAMILIES[ref.family])
      writer.u8(0)
      writer.be16(0)
      write(writer)
    },
  }
}

/** Make a table; one that is there already is left as it is. */
export const addTable = (ref: TableRef): Request =>
  request(NFT_MSG.newTable, NLM_F_CREATE, ref, `add table ${name(ref)}`, writer => {
    writer.attrString(1, ref.table)
    writer.attrBe32(2, 0)
  })

/** ENOENT where there is none. */
export const deleteTable = (ref: TableRef): Request =>
  request(NFT_MSG.deleteTable, 0, ref, `delete table ${name(ref)}`, writer => writer.attrString(1, ref.table))

export type Hook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting'
export const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const

/** Where a base chain is called. Priorities: raw -300, destination NAT -100, filter 0, source NAT 100; lower is earlier. */
export interface BaseChain {
  type: 'filter' | 'nat' | 'route'
  hook: Hook
  priority: number
  policy?: 'accept' | 'drop'
}

export const addChain = (ref: TableRef, chain: string, base?: BaseChain): Request =>
  request(NFT_MSG.newChain, NLM_F_CREATE, ref, `add chain ${name(ref)} ${chain}`, writer => {
    writer.attrString(1, ref.table)
    writer.attrString(3, chain)
    if (!base) return
    writer.nest(4, () => {
      writer.attrBe32(1, HOOKS[base.hook])
      writer.attrBe32(2, base.priority)
    })
    writer.attrBe32(5, base.policy === 'drop' ? 0 : 1)
    writer.attrString(7, base.type)
  })

/** With its rules. ENOENT where there is none. */
export const deleteChain = (ref: TableRef, chain: string): Request =>
  request(NFT_MSG.deleteChain, 0, ref, `delete chain ${name(ref)} ${chain}`, writer => {
    writer.attrString(1, ref.table)
    writer.attrString(3, chain)
  })

/** Append a rule. Adjacent expressions may come as lists, as the words of {@link file://../rules.ts} do. */
export const addRule = (
  ref: TableRef,
  chain: string,
  ...expressions: (Expression | Expression[])[]
): Request =>
  request(NFT_MSG.newRule, NLM_F_CREATE | NLM_F_APPEND, ref, `add rule to ${name(ref)} ${chain}`, writer => {
    writer.attrString(1, ref.table)
    writer.attrString(2, chain)
    writer.nest(4, () => {
      for (const expression of expressions.flat()) {
        writer.nest(1, () => {
          writer.attrString(1, expression.name)
          writer.nest(2, () => expression.write(writer))
        })
      }
    })
  })

/** What a field of a key is. The kernel sees only bytes; the numbers let `nft list ruleset` show them in a person's words. */
export const dataTypes = {
  ipv4: { id: 7, length: 4 },
  ipv6: { id: 8, length: 16 },
  protocol: { id: 12, length: 1 },
  port: { id: 13, length: 2 },
  mark: { id: 19, length: 4 },
  interface: { id: 41, length: 16 },
} as const
export type DataType = keyof typeof dataTypes

export interface SetSpec {
  name: string
  /** Several are concatenated, each padded to four bytes. */
  key: readonly DataType[]
  /** Makes it a map. */
  data?: readonly DataType[] | 'verdict'
}

const NFT_SET_MAP = 0x8
const NFT_DATA_VERDICT = 0xffffff00

/** Bytes of a concatenation. A single field is not padded. */
function keyLength(fields: readonly DataType[]): number {
  if (fields.length === 1) return dataTypes[fields[0]!].length
  return fields.reduce((sum, field) => sum + ((dataTypes[field].length + 3) & ~3), 0)
}

const typeId = (fields: readonly DataType[]): number =>
  fields.reduce((id, field) => (id << 6) | dataTypes[field].id, 0)

/** The bytes of a key or of data: `parts` padded as {@link SetSpec} says. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + ((part.length + 3) & ~3), 0))
  let offset = 0
  for (const part of parts) {
    bytes.set(part, offset)
    offset += (part.length + 3) & ~3
  }
  return bytes
}

let setIds = 0

export const addSet = (ref: TableRef, spec: SetSpec): Request =>
  request(NFT_MSG.newSet, NLM_F_CREATE, ref, `add set ${name(ref)} ${spec.name}`, writer => {
    writer.attrString(1, ref.table)
    writer.attrString(2, spec.name)
    writer.attrBe32(3, spec.data ? NFT_SET_MAP : 0)
    writer.attrBe32(4, typeId(spec.key))
    writer.attrBe32(5, keyLength(spec.key))
    if (spec.data === 'verdict') {
      writer.attrBe32(6, NFT_DATA_VERDICT)
      writer.attrBe32(7, 0)
    } else if (spec.data) {
      writer.attrBe32(6, typeId(spec.data))
      writer.attrBe32(7, keyLength(spec.data))
    }
    writer.attrBe32(10, ++setIds)
    writer.attrBytes(13, byteOrders(spec))
  })

/** For `nft list ruleset`, which shows names of interfaces wrongly unless told their byte order (libnftnl: udata.h). */
function byteOrders(spec: SetSpec): Uint8Array {
  const order = (fields: readonly DataType[]) => (fields.length === 1 && fields[0] === 'interface' ? 1 : 2)
  const key = [0, 4, order(spec.key), 0, 0, 0]
  const data = spec.data && spec.data !== 'verdict' ? [1, 4, order(spec.data), 0, 0, 0] : []
  return Uint8Array.from([...key, ...data])
}

export interface Element {
  key: Uint8Array
  data?: Uint8Array | Verdict
}

/** How many elements one message carries: all of them have to fit in one attribute of 64 KiB. */
const ELEMENTS_A_MESSAGE = 400

/** Put elements into a set or map; those that are there already stay (EEXIST where a map would say something else). */
export const addElements = (ref: TableRef, set: string, elements: readonly Element[]): Request[] =>
  elementRequests(NFT_MSG.newElements, NLM_F_CREATE, 'add', ref, set, elements)

/** Take elements out; ENOENT where one is not there. */
export const deleteElements = (ref: TableRef, set: string, elements: readonly Element[]): Request[] =>
  elementRequests(NFT_MSG.deleteElements, 0, 'delete', ref, set, elements)

function elementRequests(
  message: number,
  flags: number,
  verb: string,
  ref: TableRef,
  set: string,
  elements: readonly Element[],
): Request[] {
  const requests: Request[] = []
  for (let start = 0; start < elements.length; start += ELEMENTS_A_MESSAGE) {
    const part = elements.slice(start, start + ELEMENTS_A_MESSAGE)
    requests.push(
      request(message, flags, ref, `${verb} ${part.length} elements of ${name(ref)} ${set}`, writer => {
        writer.attrString(1, ref.table)
        writer.attrString(2, set)
        writer.nest(3, () => {
          for (const element of part) {
            writer.nest(1, () => {
              writer.nest(1, () => writeData(writer, element.key))
              if (element.data) writer.nest(2, () => writeData(writer, element.data!))
            })
          }
        })
      }),
    )
  }
  return requests
}

/** For a dump: all tables. */
export const listTables: Request = request(NFT_MSG.getTable, 0, { family: 'inet' }, 'list tables', () => {})

/** For a dump: the elements of one set. */
export const listElements = (ref: TableRef, set: string): Request =>
  request(NFT_MSG.getElements, 0, ref, `list elements of ${name(ref)} ${set}`, writer => {
    writer.attrString(1, ref.table)
    writer.attrString(2, set)
  })

/** One table; ENOENT where there is none. */
export const getTable = (ref: TableRef): Request =>
  request(NFT_MSG.getTable, 0, ref, `find table ${name(ref)}`, writer => writer.attrString(1, ref.table))

/** One chain; ENOENT where there is none. */
export const getChain = (ref: TableRef, chain: string): Request =>
  request(NFT_MSG.getChain, 0, ref, `find chain ${name(ref)} ${chain}`, writer => {
    writer.attrString(1, ref.table)
    writer.attrString(3, chain)
  })

/** For a dump: all chains of all tables. */
export const listChains: Request = {
  ...request(NFT_MSG.getChain, 0, { family: 'inet' }, 'list chains', () => {}),
  write(writer) {
    writer.zeros(4)
  },
}

/** A base chain of a dump, with where it is called; undefined for one that only others call. */
export function readBaseChain(
  message: Message,
): { table: string; chain: string; hook: number; drops: boolean } | undefined {
  const attrs = new Attributes(message.body, 4)
  const hook = attrs.nested(4)?.be32(1)
  if (hook === undefined) return undefined
  return {
    table: attrs.string(1) ?? '',
    chain: attrs.string(3) ?? '',
    hook,
    drops: attrs.be32(5) === 0,
  }
}

export interface Table extends TableRef {
  handle: bigint
}

export function readTable(message: Message): Table | undefined {
  const family = familyName(message.body[0]!)
  const attrs = new Attributes(message.body, 4)
  const table = attrs.string(1)
  return family && table !== undefined ? { family, table, handle: attrs.be64(4) ?? 0n } : undefined
}

/** A message about a table's coming or going, of the nftables multicast group; undefined for others. */
export function readTableChange(message: Message): (TableRef & { change: 'added' | 'deleted' }) | undefined {
  if (message.type !== subsystem(NFT_MSG.newTable) && message.type !== subsystem(NFT_MSG.deleteTable))
    return undefined
  const table = readTable(message)
  if (!table) return undefined
  return { ...table, change: message.type === subsystem(NFT_MSG.newTable) ? 'added' : 'deleted' }
}

/** The elements of one message of {@link listElements}. */
export function readElements(message: Message): Element[] {
  const list = new Attributes(message.body, 4).nested(3)
  return (list?.elements() ?? []).flatMap(element => {
    const key = element.nested(1)?.bytes(1)
    if (!key) return []
    const data = element.nested(2)?.bytes(1)
    return [data ? { key, data } : { key }]
  })
}

function familyName(number: number): TableFamily | undefined {
  return (Object.keys(FAMILIES) as TableFamily[]).find(family => FAMILIES[family] === number)
}

const name = (ref: TableRef): string => `${ref.family} ${ref.table}`
