/**
 * Changing nftables: tables, chains, sets and maps, their elements, and rules. Changes travel in transactions ({@link begin},
 * {@link end}): all of it happens at once or nothing does. What there is, is read by {@link file://./nft-dump.ts}.
 * linux/netfilter/nf_tables.h
 */
import { NLM_F_APPEND, NLM_F_CREATE, type Request, type Writer } from './message.ts'
import { type Expression, type Verdict, writeData } from './nft-expressions.ts'

export type TableFamily = 'inet' | 'ip' | 'ip6' | 'bridge'
const FAMILIES = { inet: 1, ip: 2, bridge: 7, ip6: 10 } as const

export interface TableRef {
  family: TableFamily
  table: string
}

const NFNL_SUBSYS_NFTABLES = 10
/** The nlmsg_type of one of {@link NFT_MSG}. */
export const subsystem = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message
/** enum nf_tables_msg_types */
export const NFT_MSG = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElements: 12,
  getElements: 13,
  deleteElements: 14,
} as const

/** Attributes, by what they belong to: enum nft_table_attributes, nft_chain_attributes, … */
export const TABLE = { name: 1, flags: 2, handle: 4 } as const
export const CHAIN = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const
export const HOOK = { number: 1, priority: 2 } as const
export const RULE = { table: 1, chain: 2, handle: 3, expressions: 4 } as const
export const EXPRESSION = { name: 1, data: 2 } as const
export const SET = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  id: 10,
  userData: 13,
} as const
export const ELEMENTS = { table: 1, set: 2, list: 3 } as const
export const ELEMENT = { key: 1, data: 2 } as const
/** What each entry of a list is. */
const LIST_ENTRY = 1
/** NFTA_DATA_VALUE */
export const DATA_VALUE = 1

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

/** A message about tables: a family, then attributes (struct nfgenmsg). */
export function request(
  message: number,
  flags: number,
  ref: { family: TableFamily } | 'any family',
  what: string,
  write: (writer: Writer) => void,
): Request {
  return {
    type: subsystem(message),
    flags,
    what,
    write(writer) {
      writer.u8(ref === 'any family' ? 0 : FAMILIES[ref.family])
      writer.u8(0)
      writer.be16(0)
      write(writer)
    },
  }
}

/** Make a table; one that is there already is left as it is. */
export const addTable = (ref: TableRef): Request =>
  request(NFT_MSG.newTable, NLM_F_CREATE, ref, `add table ${name(ref)}`, writer => {
    writer.attrString(TABLE.name, ref.table)
    writer.attrBe32(TABLE.flags, 0)
  })

/** ENOENT where there is none. */
export const deleteTable = (ref: TableRef): Request =>
  request(NFT_MSG.deleteTable, 0, ref, `delete table ${name(ref)}`, writer =>
    writer.attrString(TABLE.name, ref.table),
  )

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
    inChain(writer, ref, chain)
    if (!base) return
    writer.nest(CHAIN.hook, () => {
      writer.attrBe32(HOOK.number, HOOKS[base.hook])
      writer.attrBe32(HOOK.priority, base.priority)
    })
    writer.attrBe32(CHAIN.policy, base.policy === 'drop' ? 0 : 1)
    writer.attrString(CHAIN.type, base.type)
  })

function inChain(writer: Writer, ref: TableRef, chain: string): void {
  writer.attrString(CHAIN.table, ref.table)
  writer.attrString(CHAIN.name, chain)
}

/** With its rules. ENOENT where there is none. */
export const deleteChain = (ref: TableRef, chain: string): Request =>
  request(NFT_MSG.deleteChain, 0, ref, `delete chain ${name(ref)} ${chain}`, writer =>
    inChain(writer, ref, chain),
  )

/** Append a rule. Adjacent expressions may come as lists, as the words of {@link file://../packet.ts} do. */
export const addRule = (
  ref: TableRef,
  chain: string,
  ...expressions: (Expression | Expression[])[]
): Request =>
  request(NFT_MSG.newRule, NLM_F_CREATE | NLM_F_APPEND, ref, `add rule to ${name(ref)} ${chain}`, writer => {
    writer.attrString(RULE.table, ref.table)
    writer.attrString(RULE.chain, chain)
    writer.nest(RULE.expressions, () => {
      for (const expression of expressions.flat()) {
        writer.nest(LIST_ENTRY, () => {
          writer.attrString(EXPRESSION.name, expression.name)
          writer.nest(EXPRESSION.data, () => expression.write(writer))
        })
      }
    })
  })

/** By the handle that a dump shows. ENOENT where there is none. */
export const deleteRule = (ref: TableRef, chain: string, handle: bigint): Request =>
  request(NFT_MSG.deleteRule, 0, ref, `delete rule ${handle} of ${name(ref)} ${chain}`, writer => {
    writer.attrString(RULE.table, ref.table)
    writer.attrString(RULE.chain, chain)
    writer.attrBe64(RULE.handle, handle)
  })

/** What a field of a key is. The kernel sees only bytes; the numbers let `nft list ruleset` show them in a person's words. */
const dataTypes = {
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

export const NFT_SET_MAP = 0x8
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

/** Make a set, or a map; one of the same name that is there already stays as it is (EEXIST where it is another kind). */
export const addSet = (ref: TableRef, spec: SetSpec): Request =>
  request(NFT_MSG.newSet, NLM_F_CREATE, ref, `add set ${name(ref)} ${spec.name}`, writer => {
    writer.attrString(SET.table, ref.table)
    writer.attrString(SET.name, spec.name)
    writer.attrBe32(SET.flags, spec.data ? NFT_SET_MAP : 0)
    writer.attrBe32(SET.keyType, typeId(spec.key))
    writer.attrBe32(SET.keyLength, keyLength(spec.key))
    if (spec.data === 'verdict') {
      writer.attrBe32(SET.dataType, NFT_DATA_VERDICT)
      writer.attrBe32(SET.dataLength, 0)
    } else if (spec.data) {
      writer.attrBe32(SET.dataType, typeId(spec.data))
      writer.attrBe32(SET.dataLength, keyLength(spec.data))
    }
    writer.attrBe32(SET.id, ++setIds)
    writer.attrBytes(SET.userData, byteOrders(spec))
  })

/** With its elements. EBUSY while a rule looks into it. */
export const deleteSet = (ref: TableRef, set: string): Request =>
  request(NFT_MSG.deleteSet, 0, ref, `delete set ${name(ref)} ${set}`, writer => {
    writer.attrString(SET.table, ref.table)
    writer.attrString(SET.name, set)
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
        writer.attrString(ELEMENTS.table, ref.table)
        writer.attrString(ELEMENTS.set, set)
        writer.nest(ELEMENTS.list, () => {
          for (const { key, data } of part) {
            writer.nest(LIST_ENTRY, () => {
              writer.nest(ELEMENT.key, () => writeData(writer, key))
              if (data) writer.nest(ELEMENT.data, () => writeData(writer, data))
            })
          }
        })
      }),
    )
  }
  return requests
}

export function familyName(number: number): TableFamily | undefined {
  return (Object.keys(FAMILIES) as TableFamily[]).find(family => FAMILIES[family] === number)
}

export const name = (ref: TableRef): string => `${ref.family} ${ref.table}`
