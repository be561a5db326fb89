/** What a kind of network has to know: how to be on the host, and how to put a container on it. */
import type { Cidr, Ip } from '../ip.ts'
import type { Namespace } from '../namespace.ts'
import type { NetworkRecord } from '../record.ts'

/** An endpoint that is to be made: addresses are decided, the namespace exists. */
export interface Attachment {
  namespace: Namespace
  /** What the interface is called inside: `eth0`. */
  interfaceName: string
  /** With their subnets' prefix. */
  ipv4: Cidr | undefined
  ipv6: Cidr | undefined
  /** Further ones, of the link only. */
  linkLocal: Cidr[]
  /** As asked for; the driver makes one up where there is none. */
  mac: string | undefined
  driverOpts: Record<string, string>
}

/** What was made: kept with the endpoint, and enough to undo it. */
export interface Attached {
  mac: string
  /** The host's end, where there is one. */
  hostInterface: string | undefined
}

/**
 * The life of a network: `validate` its options, `create` it on the host (also after a daemon's restart: what is there already
 * is adopted), `attach` and `detach` endpoints, `remove` it.
 */
export interface Driver {
  readonly name: string
  /** Fills in options that the driver chooses. Raises Docker's errors. */
  validate(record: NetworkRecord, others: readonly NetworkRecord[]): void
  create(record: NetworkRecord): void
  /** Done when the kernel has done it, which takes it 20 ms. */
  remove(record: NetworkRecord): Promise<void>
  attach(record: NetworkRecord, attachment: Attachment): Attached
  /**
   * Called where the namespace ends: the kernel takes it apart in its own time, and meanwhile nothing in there may answer for
   * an address that the next container has. Never throws.
   */
  retire(namespace: Namespace, interfaceName: string, attached: Attached): void
  /** Called where the namespace lives on; one that ends takes its interfaces along. As slow as {@link remove}. */
  detach(
    record: NetworkRecord,
    namespace: Namespace,
    interfaceName: string,
    attached: Attached,
  ): Promise<void>
  /** The next hop of a container's default route; `link` where it goes out without one. */
  defaultRoute(record: NetworkRecord, family: 4 | 6): { gateway: Ip | undefined } | undefined
}
