/**
 * A container's network namespace while the daemon holds it, and a few made ahead: making one costs as much as all the
 * rest of a container's network together.
 */
import * as fs from 'node:fs'
import { createNetns, NETLINK_NETFILTER, NETLINK_ROUTE } from '../linux/index.ts'
import { Netlink } from './netlink/connection.ts'
import { getLink, type Link, readLink, setLink } from './netlink/link.ts'
import type { Request } from './netlink/message.ts'
import * as nft from './netlink/nftables.ts'

const LOOPBACK_INDEX = 1

export class Namespace {
  readonly fd: number
  readonly route: Netlink

  private constructor(fd: number) {
    this.fd = fd
    this.route = Netlink.open(NETLINK_ROUTE, fd)
  }

  /** A new one, with `lo` up. It lives as long as this object is open or a process is in it. */
  static create(): Namespace {
    const namespace = Namespace.#over(createNetns())
    namespace.route.run(setLink(LOOPBACK_INDEX, { up: true }))
    return namespace
  }

  /** That of a running process. ENOENT where it is gone. */
  static ofProcess(pid: number): Namespace {
    return Namespace.#over(fs.openSync(`/proc/${pid}/ns/net`, 'r'))
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

  static #over(fd: number): Namespace {
    try {
      return new Namespace(fd)
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
  }
}

export class NamespacePool {
  readonly #size: number
  readonly #ready: Namespace[] = []
  #timer: NodeJS.Timeout | undefined

  /** Keeps up to `size` ready; 0 makes each when it is wanted. */
  constructor(size = 3) {
    this.#size = size
  }

  take(): Namespace {
    const namespace = this.#ready.pop() ?? Namespace.create()
    this.#refillLater()
    return namespace
  }

  /** Make one ahead, when nobody waits: the event loop is given back between one and the next. */
  #refillLater(): void {
    if (this.#timer || this.#ready.length >= this.#size) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      try {
        this.#ready.push(Namespace.create())
      } catch {
        return // whoever takes one will meet the error and tell it
      }
      this.#refillLater()
    }, 5)
    this.#timer.unref()
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const namespace of this.#ready.splice(0)) namespace.close()
  }
}
