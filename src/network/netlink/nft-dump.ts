/**
 * Reading nftables: what a dump, a question for one object, or the multicast group says. Requests are for
 * {@link file://./connection.ts}' `dump` and `get`; readers take one message each and answer undefined for messages about other
 * things. linux/netfilter/nf_tables.h
 */
import { Attributes, type Message, type Request } from './message.ts'
import {
  CHAIN,
  DATA_VALUE,
  ELEMENT,
  ELEMENTS,
  type Element,
  EXPRESSION,
  familyName,
  HOOK,
  NFT_MSG,
  NFT_SET_MAP,
  name,
  RULE,
  request,
  SET,
  subsystem,
  TABLE,
  type TableRef,
} from './nftables.ts'

/** For a dump: all tables, of every family. */
export const listTables: Request = request(NFT_MSG.getTable, 0, 'any family', 'list tables', () => {})
/** For a dump: all chains of all tables. */
export const listChains: Request = request(NFT_MSG.getChain, 0, 'any family', 'list chains', () => {})
/** For a dump: all rules of all chains, in their order. */
export const listRules: Request = request(NFT_MSG.getRule, 0, 'any family', 'list rules', () => {})
/** For a dump: all sets and maps, without their elements. */
export const listSets: Request = request(NFT_MSG.getSet, 0, 'any family', 'list sets', () => {})

/** For a dump: the elements of one set. ENOENT where there is none. */
export const listElements = (ref: TableRef, set: string): Request =>
  request(NFT_MSG.getElements, 0, ref, `list elements of ${name(ref)} ${set}`, writer => {
    writer.attrString(ELEMENTS.table, ref.table)
    writer.attrString(ELEMENTS.set, set)
  })

/** One table; ENOENT where there is none. */
export const getTable = (ref: TableRef): Request =>
  request(NFT_MSG.getTable, 0, ref, `find table ${name(ref)}`, writer =>
    writer.attrString(TABLE.name, ref.table),
  )

export interface Table extends TableRef {
  /** The kernel's number for it. */
  handle: bigint
}

export function readTable(message: Message): Table | undefined {
  const { family, attributes } = open(message)
  const table = attributes.string(TABLE.name)
  return family && table !== undefined
    ? { family, table, handle: attributes.be64(TABLE.handle) ?? 0n }
    : undefined
}

/** A message about a table's coming or going, of the nftables multicast group; undefined for others. */
export function readTableChange(message: Message): (TableRef & { change: 'added' | 'deleted' }) | undefined {
  const changes = {
    [subsystem(NFT_MSG.newTable)]: 'added',
    [subsystem(NFT_MSG.deleteTable)]: 'deleted',
  } as const
  const change = changes[message.type]
  const table = change && readTable(message)
  return table && { ...table, change }
}

/** A base chain, with where it is called ({@link file://./nftables.ts}: HOOKS); undefined for one that only others call. */
export function readBaseChain(
  message: Message,
): { table: string; chain: string; hook: number; drops: boolean } | undefined {
  const { attributes } = open(message)
  const hook = attributes.nested(CHAIN.hook)?.be32(HOOK.number)
  if (hook === undefined) return undefined
  return {
    table: attributes.string(CHAIN.table) ?? '',
    chain: attributes.string(CHAIN.name) ?? '',
    hook,
    drops: attributes.be32(CHAIN.policy) === 0,
  }
}

export interface Rule extends TableRef {
  chain: string
  /** What {@link file://./nftables.ts}' deleteRule wants. */
  handle: bigint
  /** Names of its expressions, in their order: `meta`, `cmp`, `immediate`, … */
  expressions: string[]
}

export function readRule(message: Message): Rule | undefined {
  const { family, attributes } = open(message)
  const [table, chain] = [attributes.string(RULE.table), attributes.string(RULE.chain)]
  if (!family || table === undefined || chain === undefined) return undefined
  return {
    family,
    table,
    chain,
    handle: attributes.be64(RULE.handle) ?? 0n,
    expressions: (attributes.nested(RULE.expressions)?.elements() ?? []).map(
      expression => expression.string(EXPRESSION.name) ?? '',
    ),
  }
}

export interface SetInfo extends TableRef {
  set: string
  isMap: boolean
  /** Bytes of a key. */
  keyLength: number
}

export function readSet(message: Message): SetInfo | undefined {
  const { family, attributes } = open(message)
  const [table, set] = [attributes.string(SET.table), attributes.string(SET.name)]
  if (!family || table === undefined || set === undefined) return undefined
  const isMap = ((attributes.be32(SET.flags) ?? 0) & NFT_SET_MAP) !== 0
  return { family, table, set, isMap, keyLength: attributes.be32(SET.keyLength) ?? 0 }
}

/** The elements of one message of {@link listElements}. */
export function readElements(message: Message): Element[] {
  const list = open(message).attributes.nested(ELEMENTS.list)
  return (list?.elements() ?? []).flatMap(element => {
    const key = element.nested(ELEMENT.key)?.bytes(DATA_VALUE)
    if (!key) return []
    const data = element.nested(ELEMENT.data)?.bytes(DATA_VALUE)
    return [data ? { key, data } : { key }]
  })
}

/** struct nfgenmsg, and what follows it. */
const open = ({ body }: Message) => ({ family: familyName(body[0]!), attributes: new Attributes(body, 4) })
