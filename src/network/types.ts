/** The words of this room: what a network is, what a container asks of it, and what it gets. */
import type { Logger } from '../logger.ts'

/** A network create request. Absent means Docker's default. */
export interface NetworkSpec {
  name: string
  /** `bridge` unless told. */
  driver?: string
  scope?: string
  internal?: boolean
  attachable?: boolean
  ingress?: boolean
  configOnly?: boolean
  configFrom?: string
  /** True unless told. */
  enableIpv4?: boolean
  enableIpv6?: boolean
  ipam?: {
    driver?: string
    options?: Record<string, string> | null
    config: IpamConfig[]
  }
  options?: Record<string, string>
  labels?: Record<string, string>
}

/** One subnet of a network, in the user's words. */
export interface IpamConfig {
  /** CIDR. Absent takes one from the default address pools. */
  subnet?: string
  /** CIDR inside the subnet from which addresses are handed out. */
  ipRange?: string
  gateway?: string
  /** Addresses that are never handed out, by what they are for. */
  auxiliaryAddresses?: Record<string, string>
}

/** What `network inspect` shows. */
export interface NetworkInfo {
  id: string
  name: string
  /** RFC 3339. */
  created: string
  scope: string
  driver: string
  enableIpv4: boolean
  enableIpv6: boolean
  ipam: { driver: string; options: Record<string, string> | null; config: IpamConfig[] | null }
  internal: boolean
  attachable: boolean
  ingress: boolean
  configFrom: string
  configOnly: boolean
  options: Record<string, string>
  labels: Record<string, string>
  /** By container id; only those that run. Addresses with their prefix length, '' where there is none. */
  containers: Record<
    string,
    { name: string; endpointId: string; macAddress: string; ipv4Address: string; ipv6Address: string }
  >
}

/** How a container wants to be on one network. */
export interface EndpointSpec {
  ipv4Address?: string
  ipv6Address?: string
  linkLocalIps?: string[]
  macAddress?: string
  aliases?: string[]
  /** `container:alias`, on a user-defined network. */
  links?: string[]
  driverOpts?: Record<string, string>
  /** The highest gives the default gateway; ties go to the network whose name sorts first. */
  gatewayPriority?: number
}

export type Protocol = 'tcp' | 'udp' | 'sctp'

export interface PortBinding {
  /** '' is the daemon's default address, which is every address unless told. */
  hostIp: string
  /** A port, a range `8000-8010`, or '' / '0' for any free one. */
  hostPort: string
}

/** By `80/tcp`; null where exposed and not published. */
export type PortMap = Record<string, PortBinding[] | null>

/** One `--link`: what the linking container needs to know of the linked one. */
export interface LinkTarget {
  id: string
  /** Without the slash. */
  name: string
  alias: string
  hostname: string
  /** `NAME=value` of the linked container. */
  env: string[]
  /** `80/tcp` */
  exposedPorts: string[]
}

/** All that this room wants to know of a container. The engine makes it from a container's record. */
export interface NetworkContainer {
  id: string
  /** Without the slash. */
  name: string
  /** The short id unless told. With `--network host` the engine gives the host's. */
  hostname: string
  domainname?: string
  /** `default`, `bridge`, `none`, `host`, or a network's name or id. Never `container:…`: that is the engine's. */
  networkMode: string
  /** All that it is on, by name; {@link Networks.complete} makes them of a request. Absent: the network of the mode. */
  endpoints?: Record<string, EndpointSpec>
  /** `80/tcp` */
  exposedPorts?: string[]
  portBindings?: Record<string, PortBinding[]>
  publishAllPorts?: boolean
  /** Of the default bridge, resolved by the engine; those of user-defined networks are in {@link EndpointSpec.links}. */
  links?: LinkTarget[]
  dns?: string[]
  dnsSearch?: string[]
  dnsOptions?: string[]
  /** `name:address` or `name=address`; the address may be `host-gateway`. */
  extraHosts?: string[]
}

/** A container's place on one network, as it is now. Empty strings and zeros while it does not run. */
export interface EndpointDetails extends EndpointSpec {
  networkId: string
  endpointId: string
  gateway: string
  ipAddress: string
  ipPrefixLength: number
  ipv6Gateway: string
  globalIpv6Address: string
  globalIpv6PrefixLength: number
  mac: string
  /** null on the default bridge, host and none. */
  dnsNames: string[] | null
}

/** What {@link Networks.attach} made: ready before the container's first process exists. */
export interface Sandbox {
  /** 64 hex digits. */
  id: string
  /** Where the namespace can be opened while the container runs; '' until {@link Networks.started}. */
  key: string
  /** An open network namespace to launch into; undefined for `host`. Stays this room's: do not close. */
  netnsFd: number | undefined
  /** By the network's name. */
  endpoints: Record<string, EndpointDetails>
  ports: PortMap
  /** Content of /etc/hosts, /etc/resolv.conf and /etc/hostname. */
  hosts: string
  resolvConf: string
  hostnameFile: string
  /** `DB_PORT=tcp://…`: what links put into the environment. */
  linkEnv: string[]
  /** To be set inside, before the container's first process begins: `net.ipv4.conf.eth0.log_martians`. */
  sysctls?: Record<string, string>
}

/** The part of {@link Sandbox} that inspect shows; also what a stopped container has. */
export interface NetworkState {
  sandboxId: string
  sandboxKey: string
  ports: PortMap
  endpoints: Record<string, EndpointDetails>
}

/** A network's `create`, `destroy`, `connect` and `disconnect`, in the shape of Docker's event attributes. */
export type NetworkEventHandler = (
  action: 'create' | 'destroy' | 'connect' | 'disconnect' | 'prune',
  networkId: string,
  attributes: Record<string, string>,
) => void

export interface AddressPool {
  /** CIDR */
  base: string
  /** Prefix length of the networks cut out of it. */
  size: number
}

/** daemon.json's network settings; absent is Docker's default. */
export interface NetworkConfig {
  /** An existing bridge for the default network, or `none` for no default network. */
  bridge?: string
  bip?: string
  bip6?: string
  fixedCidr?: string
  fixedCidrV6?: string
  defaultGateway?: string
  defaultGatewayV6?: string
  mtu?: number
  dns?: string[]
  dnsSearch?: string[]
  dnsOpts?: string[]
  defaultAddressPools?: AddressPool[]
  icc?: boolean
  /** Address for ports published without one. */
  ip?: string
  ipForward?: boolean
  ipMasq?: boolean
  ipv6?: boolean
  userlandProxy?: boolean
  hostGatewayIps?: string[]
}

export interface NetworksOptions {
  /** Survives a reboot; this room keeps `networks/` in it. */
  dataRoot: string
  /** Gone after a reboot; this room keeps `network/` in it. */
  execRoot: string
  config?: NetworkConfig
  logger?: Logger
  onEvent?: NetworkEventHandler
  /** A running container's /etc/hosts or /etc/resolv.conf has to change: read each, give it to its function, write what comes. */
  onFilesChanged?: (containerId: string, edit: FileEdits) => void
}

/** Answers the text unchanged where there is nothing to do, or where a person has edited it. */
export interface FileEdits {
  hosts(current: string): string
  resolvConf(current: string): string
}

/** A running container that the engine found at start. */
export interface RunningContainer {
  container: NetworkContainer
  /** Its first process. */
  pid: number
}
