/**
 * A container's network namespace while the daemon holds it, and a few made ahead: making one costs as much as all the
 * rest of a container's network together.
 */
import * as fs from 'node:fs'
import { createNetns, NETLINK_NETFILTER, NETLINK_ROUTE } from '../linux/index.ts'
import { Reserve } from '../reserve.ts'
import { Netlink } from './netlink/connection.ts'
import { getLink, type Link, readLink, setLink } from './netlink/link.ts'
import type { Request } from './netlink/message.ts'
import * as nft from './netlink/nftables.ts'

const LOOPBACK_INDEX = 1

export class Namespace {
  readonly fd: number
  readonly route: Netlink

  private constructor(fd: number, route: Netlink) {
    this.fd = fd
    this.route = route
  }

  /** A new one, with `lo` up. It lives as long as this object is open or a process is in it. */
  static create(): Namespace {
    const { fd, socket } = createNetns(NETLINK_ROUTE)
    const namespace = new Namespace(fd, new Netlink(socket))
    namespace.route.run(setLink(LOOPBACK_INDEX, { up: true }))
    return namespace
  }

  /** That of a running process. ENOENT where it is gone. */
  static ofProcess(pid: number): Namespace {
    const fd = fs.openSync(`/proc/${pid}/ns/net`, 'r')
    try {
      return new Namespace(fd, Netlink.open(NETLINK_ROUTE, fd))
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
  }

  link(name: string): Link {
    return readLink(this.route.get(getLink(name)))
  }

  /** A transaction of packet rules inside. */
  rules(requests: readonly Request[]): void {
    const filter = Netlink.open(NETLINK_NETFILTER, this.fd)
    try {
      filter.transaction(nft.begin, requests, nft.end)
    } finally {
      filter.closeAside()
    }
  }

  close(): void {
    this.route.close()
    fs.closeSync(this.fd)
  }
}

/** Namespaces made ahead. */
export const namespaceReserve = (): Reserve<Namespace> =>
  new Reserve(3, Namespace.create, namespace => namespace.close())
