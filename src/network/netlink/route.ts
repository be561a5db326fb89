/** Routes. rtnetlink(7), linux/rtnetlink.h. */
import { type Cidr, cidr, type Family, formatCidr, formatIp, type Ip, ipBytes, ipFromBytes } from '../ip.ts'
import {
  Attributes,
  type Message,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  type Request,
  type Writer,
} from './message.ts'

const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_GETROUTE = 26

const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PRIORITY = 6
const RTA_PREFSRC = 7
const RTA_TABLE = 15

export const RT_TABLE_MAIN = 254
export const RTN_UNICAST = 1
const RTPROT_BOOT = 3
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_LINK = 253

export interface RouteSpec {
  /** Absent is the default route of `family`. */
  destination?: Cidr
  family: Family
  gateway?: Ip
  /** ifindex */
  link?: number
  metric?: number
  source?: Ip
}

export interface Route extends RouteSpec {
  table: number
  /** RTN_UNICAST, … */
  kind: number
  /** Who made it: 2 the kernel, 3 `ip` and Gantry, 4 an administrator, 16 DHCP, … */
  protocol: number
}

/** EEXIST where there is one with the same destination and metric, unless it is to be replaced. */
export function addRoute(spec: RouteSpec, options: { replace?: boolean } = {}): Request {
  return {
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | (options.replace ? NLM_F_REPLACE : NLM_F_EXCL),
    what: `add route ${text(spec)}`,
    write: writer => body(writer, spec),
  }
}

export function deleteRoute(spec: RouteSpec): Request {
  return {
    type: RTM_DELROUTE,
    flags: 0,
    what: `delete route ${text(spec)}`,
    write: writer => body(writer, spec),
  }
}

/** For a dump: all routes of the namespace, of all tables. */
export const listRoutes: Request = {
  type: RTM_GETROUTE,
  flags: 0,
  what: 'list routes',
  write: writer => writer.zeros(12),
}

export function readRoute(message: Message): Route | undefined {
  const fixed = message.body
  if (fixed[0] !== 2 && fixed[0] !== 10) return undefined
  const family: Family = fixed[0] === 2 ? 4 : 6
  const attrs = new Attributes(fixed, 12)
  const address = (type: number) => {
    const bytes = attrs.bytes(type)
    return bytes && ipFromBytes(bytes)
  }
  const destination = address(RTA_DST)
  return {
    family,
    destination: destination && cidr(destination, fixed[1]!),
    gateway: address(RTA_GATEWAY),
    source: address(RTA_PREFSRC),
    link: attrs.u32(RTA_OIF),
    metric: attrs.u32(RTA_PRIORITY),
    table: attrs.u32(RTA_TABLE) ?? fixed[4]!,
    protocol: fixed[5]!,
    kind: fixed[7]!,
  }
}

/** struct rtmsg and its attributes */
function body(writer: Writer, spec: RouteSpec): void {
  writer.u8(spec.family === 4 ? 2 : 10)
  writer.u8(spec.destination?.prefix ?? 0)
  writer.u8(0)
  writer.u8(0)
  writer.u8(RT_TABLE_MAIN)
  writer.u8(RTPROT_BOOT)
  writer.u8(spec.gateway || spec.family === 6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK)
  writer.u8(RTN_UNICAST)
  writer.u32(0)
  if (spec.destination) {
    writer.attrBytes(RTA_DST, ipBytes({ family: spec.family, value: spec.destination.base }))
  }
  if (spec.gateway) writer.attrBytes(RTA_GATEWAY, ipBytes(spec.gateway))
  if (spec.link !== undefined) writer.attrU32(RTA_OIF, spec.link)
  if (spec.metric !== undefined) writer.attrU32(RTA_PRIORITY, spec.metric)
  if (spec.source) writer.attrBytes(RTA_PREFSRC, ipBytes(spec.source))
}

function text(spec: RouteSpec): string {
  const parts = [spec.destination ? formatCidr(spec.destination) : 'default']
  if (spec.gateway) parts.push(`via ${formatIp(spec.gateway)}`)
  if (spec.link !== undefined) parts.push(`on link ${spec.link}`)
  return parts.join(' ')
}
