/**
 * The daemon's options: one row each, for the command line and for `daemon.json` at once. Names are dockerd's. A row says where its
 * value goes; options of dockerd that only concern containerd are accepted and ignored, those for what is not built are refused.
 */
import type { EngineConfig } from '../../engine/config.ts'

export type Kind = 'boolean' | 'number' | 'text' | 'list' | 'map' | 'object'

/** What the daemon itself needs; the rest is the engine's. */
export interface DaemonSettings {
  hosts: string[]
  group?: string
  dataRoot: string
  execRoot: string
  pidfile: string
  debug: boolean
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'fatal'
  logFormat: 'text' | 'json'
  tls: boolean
  tlsVerify: boolean
  tlsCaCert: string
  tlsCert: string
  tlsKey: string
  metricsAddress?: string
  /** By `http-proxy`, `https-proxy`, `no-proxy`. */
  proxies: Record<string, string>
  engine: EngineConfig
}

export interface Row {
  /** Without the dashes; absent for what only the file has. */
  flag?: string
  short?: string
  /** The key in `daemon.json`; the flag's name unless told. */
  file?: string
  kind: Kind
  help: string
  /** Where the value goes: a name of {@link DaemonSettings}, or `engine.` and a name of {@link EngineConfig}. */
  to?: keyof DaemonSettings | `engine.${keyof EngineConfig & string}`
  /** Why nothing is done with it: a debug line, or an error for a value that asks for something. */
  ignored?: string
  refused?: string
  /** Values that ask for nothing beyond what is so anyway. */
  harmless?: unknown[]
}

const containerd = { ignored: 'there is no containerd' }
const row = (
  flag: string,
  kind: Kind,
  help: string,
  rest: Omit<Row, 'flag' | 'kind' | 'help'> = {},
): Row => ({ flag, kind, help, ...rest })

export const rows: Row[] = [
  row('host', 'list', 'Daemon socket(s) to connect to', { short: 'H', file: 'hosts', to: 'hosts' }),
  row('group', 'text', 'Group for the unix socket (default "docker")', { short: 'G', to: 'group' }),
  row('data-root', 'text', 'Root directory of persistent state (default "/var/lib/gantry")', {
    to: 'dataRoot',
  }),
  row('exec-root', 'text', 'Root directory for execution state files (default "/run/gantry")', {
    to: 'execRoot',
  }),
  row('pidfile', 'text', 'Path to use for daemon PID file (default "/var/run/docker.pid")', {
    short: 'p',
    to: 'pidfile',
  }),
  row('debug', 'boolean', 'Enable debug mode', { short: 'D', to: 'debug' }),
  row('log-level', 'text', 'Set the logging level ("debug"|"info"|"warn"|"error"|"fatal")', {
    short: 'l',
    to: 'logLevel',
  }),
  row('log-format', 'text', 'Set the logging format ("text"|"json")', { to: 'logFormat' }),
  row('tls', 'boolean', 'Use TLS; implied by --tlsverify', { to: 'tls' }),
  row('tlsverify', 'boolean', 'Use TLS and verify the remote', { to: 'tlsVerify' }),
  row('tlscacert', 'text', 'Trust certs signed only by this CA', { to: 'tlsCaCert' }),
  row('tlscert', 'text', 'Path to TLS certificate file', { to: 'tlsCert' }),
  row('tlskey', 'text', 'Path to TLS key file', { to: 'tlsKey' }),
  row('metrics-addr', 'text', 'Address and port to serve the metrics api on', { to: 'metricsAddress' }),

  row('label', 'list', 'Set key=value labels to the daemon', { file: 'labels', to: 'engine.labels' }),
  row('log-driver', 'text', 'Default driver for container logs (default "json-file")'),
  row('log-opt', 'map', 'Default log driver options for containers', { file: 'log-opts' }),
  row('storage-driver', 'text', 'Storage driver to use', { short: 's', to: 'engine.storageDriver' }),
  row('default-shm-size', 'text', 'Default shm size for containers (default 64MiB)'),
  row('default-ipc-mode', 'text', 'Default mode for containers ipc', { to: 'engine.defaultIpcMode' }),
  row('default-cgroupns-mode', 'text', 'Default mode for containers cgroup namespace', {
    to: 'engine.defaultCgroupnsMode',
  }),
  row('default-runtime', 'text', 'Default OCI runtime for containers', { to: 'engine.defaultRuntime' }),
  row('add-runtime', 'map', 'Register an additional OCI compatible runtime', { file: 'runtimes' }),
  row('default-ulimit', 'map', 'Default ulimits for containers', { file: 'default-ulimits' }),
  row('cgroup-parent', 'text', 'Set parent cgroup for all containers', { to: 'engine.cgroupParent' }),
  row('init', 'boolean', 'Run an init in the container to forward signals and reap processes', {
    to: 'engine.init',
  }),
  row('init-path', 'text', 'Path to the docker-init binary', { to: 'engine.initPath' }),
  row('no-new-privileges', 'boolean', 'Set no-new-privileges by default for new containers', {
    to: 'engine.noNewPrivileges',
  }),
  row('seccomp-profile', 'text', 'Path to seccomp profile', { to: 'engine.seccompProfile' }),
  row('shutdown-timeout', 'number', 'Set the default shutdown timeout', { to: 'engine.shutdownTimeout' }),
  row('experimental', 'boolean', 'Enable experimental features', { to: 'engine.experimental' }),

  row('bridge', 'text', 'Attach containers to a network bridge', { short: 'b', to: 'engine.bridge' }),
  row('bip', 'text', 'IPv4 address for the default bridge', { to: 'engine.bip' }),
  row('fixed-cidr', 'text', 'IPv4 subnet for the default bridge network', { to: 'engine.fixedCidr' }),
  row('fixed-cidr-v6', 'text', 'IPv6 subnet for the default bridge network', { to: 'engine.fixedCidrV6' }),
  row('default-gateway', 'text', 'Default gateway IPv4 address for the default bridge network', {
    to: 'engine.defaultGateway',
  }),
  row('mtu', 'number', 'Set the MTU for the default "bridge" network', { to: 'engine.mtu' }),
  row('dns', 'list', 'DNS server to use', { to: 'engine.dns' }),
  row('dns-opt', 'list', 'DNS options to use', { file: 'dns-opts', to: 'engine.dnsOpts' }),
  row('dns-search', 'list', 'DNS search domains to use', { to: 'engine.dnsSearch' }),
  row('default-address-pool', 'list', 'Default address pools for node specific local networks', {
    file: 'default-address-pools',
  }),
  row('icc', 'boolean', 'Enable inter-container communication for the default bridge network', {
    to: 'engine.icc',
  }),
  row('ip', 'text', 'Host IP for port publishing from the default bridge network', { to: 'engine.ip' }),
  row('ip-forward', 'boolean', 'Enable IP forwarding in system configuration', { to: 'engine.ipForward' }),
  row('ip-masq', 'boolean', 'Enable IP masquerading for the default bridge network', { to: 'engine.ipMasq' }),
  row('ipv6', 'boolean', 'Enable IPv6 networking for the default bridge network', { to: 'engine.ipv6' }),
  row('userland-proxy', 'boolean', 'Use userland proxy for loopback traffic', { to: 'engine.userlandProxy' }),
  row('host-gateway-ip', 'list', 'IP addresses that the special host-gateway string resolves to', {
    file: 'host-gateway-ips',
    to: 'engine.hostGatewayIps',
  }),

  row('registry-mirror', 'list', 'Preferred Docker registry mirror', {
    file: 'registry-mirrors',
    to: 'engine.registryMirrors',
  }),
  row('insecure-registry', 'list', 'Enable insecure registry communication', {
    file: 'insecure-registries',
    to: 'engine.insecureRegistries',
  }),
  row('max-concurrent-downloads', 'number', 'Set the max concurrent downloads', {
    to: 'engine.maxConcurrentDownloads',
  }),
  row('max-layer-size', 'text', 'Refuse image layers that unpack to more than this (default 256GiB)'),
  row('max-concurrent-uploads', 'number', 'Set the max concurrent uploads', {
    to: 'engine.maxConcurrentUploads',
  }),
  row('max-download-attempts', 'number', 'Set the max download attempts for each pull', {
    to: 'engine.maxDownloadAttempts',
  }),

  row('containerd', 'text', 'containerd grpc address', containerd),
  row('containerd-namespace', 'text', 'Containerd namespace to use', containerd),
  row('containerd-plugins-namespace', 'text', 'Containerd namespace to use for plugins', {
    file: 'containerd-plugin-namespace',
    ...containerd,
  }),
  row('cri-containerd', 'boolean', 'start containerd with cri', containerd),
  row('userland-proxy-path', 'text', 'Path to the userland proxy binary', {
    ignored: 'there is no proxy process',
  }),
  row('live-restore', 'boolean', 'Enable live restore when containers are still running', {
    ignored: 'containers always outlive the daemon',
  }),
  row('iptables', 'boolean', 'Enable addition of iptables rules', {
    ignored: 'rules live in nftables tables of their own',
  }),
  row('ip6tables', 'boolean', 'Enable addition of ip6tables rules', {
    ignored: 'rules live in nftables tables of their own',
  }),
  row('ip-forward-no-drop', 'boolean', 'Do not set the filter-FORWARD policy to DROP', {
    ignored: "the host's own rules are never touched",
  }),
  row('raw-logs', 'boolean', 'Full timestamps without ANSI coloring', { ignored: 'logs are never coloured' }),
  row('network-control-plane-mtu', 'number', 'Network Control plane MTU', { ignored: 'there is no swarm' }),
  row('swarm-default-advertise-addr', 'text', 'Default address for swarm advertised address', {
    ignored: 'there is no swarm',
  }),
  row('storage-opt', 'list', 'Storage driver options', {
    file: 'storage-opts',
    ignored: 'overlay2 needs none',
  }),
  row('feature', 'map', 'Enable feature in the daemon', {
    file: 'features',
    ignored: 'there is nothing to choose',
  }),
  row('exec-opt', 'list', 'Runtime execution options', {
    file: 'exec-opts',
    refused: 'only native.cgroupdriver=cgroupfs is supported',
    harmless: ['native.cgroupdriver=cgroupfs'],
  }),
  row('node-generic-resource', 'list', 'Advertise user-defined resource', {
    file: 'node-generic-resources',
    ignored: 'there is no swarm',
  }),
  row('cdi-spec-dir', 'list', 'CDI specification directories to use', {
    file: 'cdi-spec-dirs',
    ignored: 'CDI devices are not supported',
  }),
  row('authorization-plugin', 'list', 'Authorization plugins to load', {
    file: 'authorization-plugins',
    refused: 'authorization plugins are not supported',
  }),
  row('userns-remap', 'text', 'User/Group setting for user namespaces', {
    refused: 'user namespace remapping is not supported',
  }),
  row('rootless', 'boolean', 'Enable rootless mode', {
    refused: 'rootless mode is not supported',
    harmless: [false],
  }),
  row('selinux-enabled', 'boolean', 'Enable selinux support', {
    refused: 'SELinux is not supported',
    harmless: [false],
  }),
  row('cpu-rt-period', 'number', 'Limit the CPU real-time period for the parent cgroup', {
    refused: 'real-time limits of the parent cgroup are not supported',
    harmless: [0],
  }),
  row('cpu-rt-runtime', 'number', 'Limit the CPU real-time runtime for the parent cgroup', {
    refused: 'real-time limits of the parent cgroup are not supported',
    harmless: [0],
  }),
  row('allow-direct-routing', 'boolean', 'Allow remote access to published ports on container IP addresses', {
    refused: 'direct routing to containers is not supported',
    harmless: [false],
  }),
  row('bip6', 'text', 'IPv6 address for the default bridge', { refused: 'use --fixed-cidr-v6' }),
  row('default-gateway-v6', 'text', 'Default gateway IPv6 address for the default bridge network', {
    refused: 'an IPv6 default gateway is not supported',
  }),
  row('default-network-opt', 'map', 'Default network options', {
    file: 'default-network-opts',
    refused: 'default network options are not supported',
  }),
  row('http-proxy', 'text', 'HTTP proxy URL to use for outgoing traffic'),
  row('https-proxy', 'text', 'HTTPS proxy URL to use for outgoing traffic'),
  row('no-proxy', 'text', 'Hosts or IP addresses for which the proxy is skipped'),
  { file: 'proxies', kind: 'object', help: 'http-proxy, https-proxy, no-proxy' },
  { file: 'builder', kind: 'object', help: 'Build cache', ignored: 'the build cache keeps its own limits' },
  {
    file: 'default-platform',
    kind: 'text',
    help: 'Platform of pulls',
    refused: 'a default platform is not supported',
  },
  {
    file: 'oom-score-adjust',
    kind: 'number',
    help: 'oom_score_adj of the daemon',
    to: 'engine.oomScoreAdjust',
  },
  { file: 'deprecated-key-path', kind: 'text', help: 'Obsolete', ignored: 'obsolete' },
  { file: 'allow-nondistributable-artifacts', kind: 'list', help: 'Obsolete', ignored: 'obsolete' },
]

/** The key that a row has in `daemon.json`. */
export const keyOf = ({ file, flag }: Row): string => file ?? flag!
