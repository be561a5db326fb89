/** `moby.buildkit.v1.Control`: solve, progress, workers, cache and history, for BuildKit's clients. */
import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from '@connectrpc/connect'
import { type BuildResult, type HistoryRecord, hostPlatform, type ProgressEvent } from '../build/index.ts'
import type { GrpcContext } from './grpc.ts'
import { toConnectError } from './grpc-errors.ts'
import { solveRequest } from './grpc-request.ts'
import {
  BuildHistoryEventSchema,
  BuildHistoryEventType,
  Control,
  type SolveRequest,
  type StatusResponse,
  StatusResponseSchema,
  UsageRecordSchema,
} from './proto/gen/control_pb.js'
import { acceptSession, findSession, SESSION_ID } from './session.ts'

/** What clients ask for before they use a feature: BuildKit's. */
export const VERSION = { package: 'github.com/moby/buildkit', version: 'v0.25.1', revision: 'gantry' }

export function workerRecord() {
  return {
    ID: 'gantry',
    Labels: {
      'org.mobyproject.buildkit.worker.executor': 'containerd',
      'org.mobyproject.buildkit.worker.moby.host-gateway-ip': '172.17.0.1',
      'org.mobyproject.buildkit.worker.snapshotter': 'overlayfs',
    },
    platforms: [{ OS: hostPlatform.os, Architecture: hostPlatform.architecture }],
    BuildkitVersion: VERSION,
  }
}

export function controlService(router: ConnectRouter, context: GrpcContext): void {
  const { builder } = context
  router.service(Control, {
    info: () => ({ buildkitVersion: VERSION }),
    listWorkers: () => ({ record: [workerRecord()] }),
    solve: async (request, call) => {
      try {
        return { ExporterResponse: await solve(context, request, call) }
      } catch (error) {
        throw toConnectError(error, call.signal.aborted)
      }
    },
    status: (request, call) => status(context, request.Ref, call),
    diskUsage: async request => ({
      record: (await builder.cache.list(filtersOf(request.filter))).map(usageRecord),
    }),
    async *prune(request) {
      const removed = await builder.cache.prune({
        all: request.all,
        filters: filtersOf(request.filter),
        ...(request.keepDuration && { keepDuration: Number(request.keepDuration) / 1e6 }),
        ...(request.reservedSpace && { keepBytes: Number(request.reservedSpace) }),
        ...(request.maxUsedSpace && { maxUsedBytes: Number(request.maxUsedSpace) }),
        ...(request.minFreeSpace && { minFreeBytes: Number(request.minFreeSpace) }),
      })
      for (const record of removed) yield create(UsageRecordSchema, usageRecord(record))
    },
    listenBuildHistory: (request, call) => history(context, request, call),
    updateBuildHistory: request => {
      if (request.Delete) builder.history.remove(request.Ref)
      return {}
    },
    session: (requests, call) => session(requests, call),
  })
}

/** A session inside of a call: the client's HTTP/2 connection in messages of bytes. */
async function* session(requests: AsyncIterable<{ data: Uint8Array }>, call: HandlerContext) {
  const header = (name: string) => call.requestHeader.get(name) ?? ''
  if (header(SESSION_ID) === '') throw new ConnectError('no session ID in the request', Code.InvalidArgument)
  const [socket, other] = duplexPair()
  for (const end of [socket, other]) end.on('error', () => {})
  acceptSession(socket, header)
  const feed = async (): Promise<void> => {
    for await (const { data } of requests) {
      if (!other.write(data)) await once(other, 'drain')
    }
  }
  feed().then(
    () => other.end(),
    () => other.destroy(),
  )
  for await (const data of other) yield { data: data as Buffer }
}

type UsageFields = Awaited<ReturnType<GrpcContext['builder']['cache']['list']>>[number]

function usageRecord(record: UsageFields) {
  return {
    ID: record.id,
    Mutable: record.mutable,
    InUse: record.inUse,
    Size: BigInt(record.size),
    Parents: record.parents,
    CreatedAt: timestampFromMs(record.createdAt),
    LastUsedAt: timestampFromMs(record.lastUsedAt),
    UsageCount: BigInt(record.usageCount),
    Description: record.description,
    RecordType: record.type,
    Shared: record.shared,
  }
}

/** containerd's filters: `id==x`, `type==regular`. */
function filtersOf(filters: readonly string[]): Record<string, string[]> {
  const result: Record<string, string[]> = {}
  for (const filter of filters.flatMap(text => text.split(','))) {
    const match = /^([\w-]+)(?:(==|~=)(.*))?$/.exec(filter)
    if (match) (result[match[1]!] ??= []).push((match[3] ?? 'true').replace(/^"|"$/g, ''))
  }
  return result
}

async function solve(
  context: GrpcContext,
  request: SolveRequest,
  call: HandlerContext,
): Promise<Record<string, string>> {
  const exporters = request.Exporters.map(({ Type, Attrs }) => ({ type: Type, attrs: Attrs }))
  if (exporters.length === 0 && request.ExporterDeprecated) {
    exporters.push({ type: request.ExporterDeprecated, attrs: request.ExporterAttrsDeprecated })
  }
  const session = request.Session ? await findSession(request.Session) : undefined
  const caches = (entries: { Type: string; Attrs: Record<string, string> }[] = []) =>
    entries.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs }))
  const words = {
    ref: request.Ref,
    session,
    exporters,
    cacheImports: caches(request.Cache?.Imports),
    cacheExports: caches(request.Cache?.Exports),
    entitlements: request.Entitlements,
    folders: context.folders,
    signal: call.signal,
  }
  if (request.Frontend === '') {
    if (request.Definition && request.Definition.def.length > 0) {
      throw new ConnectError(
        'definitions of operations are not taken: use the frontend dockerfile.v0',
        Code.Unimplemented,
      )
    }
    return context.gateways.open(request.Ref, words)
  }
  if (request.Frontend !== 'dockerfile.v0') {
    throw new ConnectError(`frontend ${request.Frontend} is not supported`, Code.Unimplemented)
  }
  const result = await context.builder.build(solveRequest({ ...words, attrs: request.FrontendAttrs }))
  return exporterResponse(result)
}

export function exporterResponse(result: BuildResult): Record<string, string> {
  return result.metadata
}

/** Milliseconds that a client waits for a build that is about to begin. */
const PATIENCE = 10_000
/** Milliseconds over which events are gathered. */
const GATHER = 15

async function* status(
  context: GrpcContext,
  ref: string,
  call: HandlerContext,
): AsyncGenerator<StatusResponse> {
  const queue: ProgressEvent[] = []
  let ended = false
  let wake = () => {}
  const waiting = AbortSignal.any([call.signal, context.gateways.ended(ref)])
  const stop = await context.builder.history.followSoon(ref, PATIENCE, waiting, event => {
    if (event) queue.push(event)
    else ended = true
    wake()
  })
  context.gateways.forget(ref)
  if (!stop) return
  const gone = () => wake()
  call.signal.addEventListener('abort', gone)
  try {
    while (!call.signal.aborted) {
      if (queue.length === 0) {
        if (ended) return
        await new Promise<void>(resolve => {
          wake = resolve
        })
        if (!ended) await new Promise(resolve => setTimeout(resolve, GATHER))
        continue
      }
      yield response(queue.splice(0))
    }
  } finally {
    stop()
    call.signal.removeEventListener('abort', gone)
  }
}

function response(events: ProgressEvent[]): StatusResponse {
  const message: Gathered = { vertexes: [], statuses: [], logs: [], warnings: [] }
  const times = (event: { started?: number; completed?: number }) => ({
    ...(event.started !== undefined && { started: timestampFromMs(event.started) }),
    ...(event.completed !== undefined && { completed: timestampFromMs(event.completed) }),
  })
  for (const event of events) {
    switch (event.type) {
      case 'vertex':
        message.vertexes.push({
          digest: event.digest,
          inputs: event.inputs,
          name: event.name,
          cached: event.cached ?? false,
          error: event.error ?? '',
          ...times(event),
        })
        break
      case 'status':
        message.statuses.push({
          ID: event.id,
          vertex: event.vertex,
          name: event.name ?? event.id,
          current: BigInt(event.current),
          total: BigInt(event.total),
          timestamp: timestampFromMs(event.timestamp),
          ...times(event),
        })
        break
      case 'log':
        message.logs.push({
          vertex: event.vertex,
          timestamp: timestampFromMs(event.timestamp),
          stream: BigInt(event.stream),
          msg: event.data,
        })
        break
      case 'warning':
        message.warnings.push({
          vertex: event.vertex,
          level: BigInt(event.level),
          short: Buffer.from(event.short),
          detail: event.detail.map(line => Buffer.from(line)),
          url: event.url,
          info: { filename: event.file, data: Buffer.from(event.source), language: 'Dockerfile' },
          ranges: event.ranges.map(({ start, end }) => ({
            start: { line: start, character: 0 },
            end: { line: end, character: 0 },
          })),
        })
    }
  }
  return create(StatusResponseSchema, message as Init)
}

type Init = MessageInitShape<typeof StatusResponseSchema>
type Gathered = Record<'vertexes' | 'statuses' | 'logs' | 'warnings', object[]>

async function* history(
  { builder }: GrpcContext,
  request: { ActiveOnly: boolean; Ref: string; EarlyExit: boolean },
  call: HandlerContext,
) {
  const { STARTED, COMPLETE, DELETED } = BuildHistoryEventType
  const queue: [BuildHistoryEventType, HistoryRecord][] = []
  let wake = () => {}
  const fits = (record: HistoryRecord) =>
    (!request.Ref || record.id === request.Ref) && (!request.ActiveOnly || record.completedAt === undefined)
  const types = { started: STARTED, complete: COMPLETE, deleted: DELETED }
  for (const record of builder.history.list()) {
    if (fits(record)) queue.push([record.completedAt === undefined ? STARTED : COMPLETE, record])
  }
  const stop = builder.history.listen((record, change) => {
    if (!request.Ref || record.id === request.Ref) queue.push([types[change], record])
    wake()
  })
  const gone = () => wake()
  call.signal.addEventListener('abort', gone)
  try {
    while (!call.signal.aborted) {
      const next = queue.shift()
      if (next) yield create(BuildHistoryEventSchema, { type: next[0], record: historyRecord(next[1]) })
      else if (request.EarlyExit) return
      else
        await new Promise<void>(resolve => {
          wake = resolve
        })
    }
  } finally {
    stop()
    call.signal.removeEventListener('abort', gone)
  }
}

function historyRecord(record: HistoryRecord) {
  return {
    Ref: record.id,
    Frontend: 'dockerfile.v0',
    FrontendAttrs: record.attributes,
    CreatedAt: timestampFromMs(record.createdAt),
    ...(record.completedAt !== undefined && { CompletedAt: timestampFromMs(record.completedAt) }),
    ...(record.error !== undefined && { error: { code: 2, message: record.error } }),
    ExporterResponse: record.metadata ?? {},
    numCachedSteps: record.cachedSteps,
    numTotalSteps: record.steps,
    numCompletedSteps: record.completedSteps,
    numWarnings: record.warnings,
  }
}
