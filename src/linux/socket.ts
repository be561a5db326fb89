/** Sockets: fds passed over unix sockets, netlink, options. Blocking calls answer at once or within their limit. */
import { closeSync } from 'node:fs'
import { check, native } from './native.ts'

export const SOCK_STREAM = 1

/** Two connected unix sockets, close-on-exec. */
export function socketpair(type = SOCK_STREAM): [number, number] {
  return check<[number, number]>(native().socketpair(type), 'socketpair')
}

/** Send `data` (at least one byte) and fds in one message. */
export function sendFds(socket: number, data: Uint8Array, fds: number[]): void {
  check(native().sendFds(socket, data, fds), 'sendmsg')
}

/** Receive a message of at most `length` bytes and the fds that came with it (close-on-exec; the caller closes them). */
export function recvFds(socket: number, length: number): { data: Uint8Array; fds: number[] } {
  const fds: number[] = []
  return { data: check<Uint8Array>(native().recvFds(socket, length, fds), 'recvmsg'), fds }
}

/** Whether the other end of a unix socket is closed for good, not only for writing. POLLHUP, poll(2). */
export function hasHungUp(fd: number): boolean {
  const POLLERR = 8
  const POLLHUP = 16
  return (check<number>(native().poll(fd, 0), 'poll') & (POLLERR | POLLHUP)) !== 0
}

export const NETLINK_ROUTE = 0
export const NETLINK_NETFILTER = 12

/** For {@link NetlinkSocket}: a network namespace that is made for it. */
export const NEW_NETNS = -2

const SOL_NETLINK = 270
const NETLINK_ADD_MEMBERSHIP = 1
const NETLINK_DROP_MEMBERSHIP = 2

/**
 * A netlink socket, in our network namespace or in another (`netnsFd`; {@link NEW_NETNS}), where it stays. Extended acknowledgements are on,
 * capped ones too (an error does not repeat the request), and dumps check their request strictly.
 */
export class NetlinkSocket {
  readonly fd: number

  constructor(protocol: number, netnsFd = -1) {
    this.fd = check(native().netlinkOpen(protocol, netnsFd), 'netlink socket')
  }

  /** Send one datagram: one message or a batch. */
  send(data: Uint8Array): void {
    check(native().send(this.fd, data), 'netlink send')
  }

  /** The next datagram; `undefined` where none came within `maxWaitMs` (0: only what is there already). */
  recv(maxWaitMs = 1000): Buffer | undefined {
    const result = native().recv(this.fd, maxWaitMs)
    if (result === -11) return undefined
    const bytes = check<Uint8Array>(result, 'netlink recv')
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Join a multicast group, by its number (RTNLGRP_…). */
  subscribe(group: number): void {
    check(native().setsockopt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group), 'netlink subscribe')
  }

  unsubscribe(group: number): void {
    check(native().setsockopt(this.fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group), 'netlink unsubscribe')
  }

  close(): void {
    closeSync(this.fd)
  }
}

const SOL_SOCKET = 1
const SO_REUSEADDR = 2

/** Whether others may bind where `fd` is bound. Off after binding, the address is held. socket(7) */
export function setReuseAddress(fd: number, on: boolean): void {
  check(native().setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on ? 1 : 0), 'setsockopt(SO_REUSEADDR)')
}
