/** How containers look on the wire: lists and inspect. */
import type { ContainerDetails, ContainerSummary, NetworkDetails } from '../../engine/results.ts'
import type { ContainerState, MountPoint } from '../../engine/types.ts'
import { containerConfig } from './container-config.ts'
import { endpointDetails } from './endpoint.ts'
import { hostConfig } from './host-config.ts'

export function encodeSummary(summary: ContainerSummary, api: number): Record<string, unknown> {
  return {
    Id: summary.id,
    Names: summary.names,
    Image: summary.image,
    ImageID: summary.imageId,
    ...(api >= 52 && summary.imageManifest && { ImageManifestDescriptor: summary.imageManifest }),
    Command: summary.command,
    Created: summary.created,
    Ports: summary.ports.map(port => ({
      ...(port.ip && { IP: port.ip }),
      PrivatePort: port.privatePort,
      ...(port.publicPort && { PublicPort: port.publicPort }),
      Type: port.type,
    })),
    ...(summary.sizeRw && { SizeRw: summary.sizeRw }),
    ...(summary.sizeRootFs && { SizeRootFs: summary.sizeRootFs }),
    Labels: summary.labels,
    State: summary.state,
    Status: summary.status,
    HostConfig: {
      NetworkMode: summary.networkMode,
      ...(api >= 46 && summary.annotations && { Annotations: summary.annotations }),
    },
    ...(api >= 52 &&
      summary.health && {
        Health: { Status: summary.health.status, FailingStreak: summary.health.failingStreak },
      }),
    NetworkSettings: { Networks: encodeNetworks(summary.networks) },
    Mounts: summary.mounts.map(encodeMountPoint),
  }
}

export function encodeDetails(details: ContainerDetails, api: number): Record<string, unknown> {
  const { record } = details
  const mac = Object.values(details.network.endpoints)[0]?.macAddress
  return {
    Id: record.id,
    Created: record.created,
    Path: record.path,
    Args: record.args,
    State: encodeState(record.state),
    Image: record.imageId,
    ResolvConfPath: details.resolvConfPath,
    HostnamePath: details.hostnamePath,
    HostsPath: details.hostsPath,
    // moby StartLogger: where the local driver writes is nobody's business.
    LogPath: record.host.logConfig?.type === 'local' ? '' : record.logPath,
    Name: `/${record.name}`,
    RestartCount: record.state.restartCount,
    Driver: record.driver,
    Platform: record.platform.os,
    ...(api >= 52 && details.imageManifest && { ImageManifestDescriptor: details.imageManifest }),
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: details.appArmorProfile,
    ExecIDs: details.execIds,
    HostConfig: hostConfig.encode(record.host),
    GraphDriver: { Data: details.storage.data, Name: details.storage.driver },
    ...(details.sizeRw !== undefined && { SizeRw: details.sizeRw }),
    ...(details.sizeRootFs !== undefined && { SizeRootFs: details.sizeRootFs }),
    Mounts: record.mounts.map(encodeMountPoint),
    Config: { ...containerConfig.encode(record.config), ...(mac && api < 52 && { MacAddress: mac }) },
    NetworkSettings: encodeNetworkSettings(details.network, api),
  }
}

function encodeState(state: ContainerState): Record<string, unknown> {
  const { status, health } = state
  return {
    Status: status,
    Running: status === 'running' || status === 'paused' || status === 'restarting',
    Paused: status === 'paused',
    Restarting: status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: status === 'dead',
    Pid: state.pid,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: state.startedAt,
    FinishedAt: state.finishedAt,
    ...(health && {
      Health: {
        Status: health.status,
        FailingStreak: health.failingStreak,
        Log: health.log.map(({ start, end, exitCode, output }) => ({
          Start: start,
          End: end,
          ExitCode: exitCode,
          Output: output,
        })),
      },
    }),
  }
}

function encodeMountPoint(point: MountPoint): Record<string, unknown> {
  return {
    Type: point.type,
    ...(point.name && { Name: point.name }),
    Source: point.source,
    Destination: point.destination,
    ...(point.driver && { Driver: point.driver }),
    Mode: point.mode,
    RW: point.rw,
    Propagation: point.propagation,
  }
}

function encodeNetworks(endpoints: NetworkDetails['endpoints']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(endpoints).map(([name, endpoint]) => [name, endpointDetails(endpoint)]),
  )
}

function encodePorts(ports: NetworkDetails['ports']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(ports).map(([port, bindings]) => [
      port,
      bindings?.map(({ hostIp, hostPort }) => ({ HostIp: hostIp, HostPort: hostPort })) ?? null,
    ]),
  )
}

/** Up to 1.51 the default bridge's addresses stood twice: once more beside the networks. */
function encodeNetworkSettings(network: NetworkDetails, api: number): Record<string, unknown> {
  const settings = {
    SandboxID: network.sandboxId,
    SandboxKey: network.sandboxKey,
    Ports: encodePorts(network.ports),
  }
  const networks = { Networks: encodeNetworks(network.endpoints) }
  if (api >= 52) return { ...settings, ...networks }
  const bridge = network.endpoints['bridge']
  return {
    Bridge: '',
    ...settings,
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge?.endpointId ?? '',
    Gateway: bridge?.gateway ?? '',
    GlobalIPv6Address: bridge?.globalIpv6Address ?? '',
    GlobalIPv6PrefixLen: bridge?.globalIpv6PrefixLength ?? 0,
    IPAddress: bridge?.ipAddress ?? '',
    IPPrefixLen: bridge?.ipPrefixLength ?? 0,
    IPv6Gateway: bridge?.ipv6Gateway ?? '',
    MacAddress: bridge?.mac ?? '',
    ...networks,
  }
}
