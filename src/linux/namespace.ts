/** Namespaces: their flags, a confined thread, and things that live in another network namespace. */
import { check, native } from './native.ts'
import { NEW_NETNS, NetlinkSocket } from './socket.ts'

export const CLONE_NEWTIME = 0x80
export const CLONE_NEWNS = 0x20000
export const CLONE_NEWCGROUP = 0x2000000
export const CLONE_NEWUTS = 0x4000000
export const CLONE_NEWIPC = 0x8000000
export const CLONE_NEWUSER = 0x10000000
export const CLONE_NEWPID = 0x20000000
export const CLONE_NEWNET = 0x40000000

/**
 * Confine the calling worker thread to the folder `root`: from here on its synchronous `fs` calls see nothing else,
 * whatever links they meet (unshare(CLONE_FS), chroot, chdir). Other threads keep their root. Refused (EINVAL) on the main thread.
 * `root` is always a path of the host: a thread may be confined again, elsewhere.
 */
export function confineThread(root: string): void {
  check(native().confineThread(root), 'confine', root)
}

/**
 * A new, empty network namespace (only `lo`, down), and a netlink socket of `protocol` in it. It lives as long as someone holds
 * either or runs in it. SIOCGSKNS, netdevice(7)
 */
export function createNetns(protocol: number): { fd: number; socket: NetlinkSocket } {
  const socket = new NetlinkSocket(protocol, NEW_NETNS)
  try {
    return { fd: check(native().netnsOf(socket.fd), 'ioctl(SIOCGSKNS)'), socket }
  } catch (error) {
    socket.close()
    throw error
  }
}

export type SocketKind = 'udp4' | 'udp6' | 'tcp4' | 'tcp6'

/**
 * A socket bound to `address:port` inside another network namespace, opened there by a helper thread and usable from
 * here (`dgram` bind({fd}), `net` listen({fd})). TCP sockets listen already; IPv6 ones take IPv6 only. Non-blocking, SO_REUSEADDR.
 */
export function openSocketInNetns(
  netnsFd: number,
  kind: SocketKind,
  address: string,
  port: number,
  backlog = 128,
): number {
  const family = kind.endsWith('6') ? 10 : 2
  const type = kind.startsWith('tcp') ? 1 : 2
  return check(
    native().socketInNetns(netnsFd, family, type, address, port, type === 1 ? backlog : 0),
    `${kind} socket`,
    `${address}:${port}`,
  )
}
