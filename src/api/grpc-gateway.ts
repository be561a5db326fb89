/**
 * `moby.buildkit.v1.frontend.LLBBridge`: a client that drives a build itself. `Control.Solve` without a frontend opens a gateway
 * under the build's name; the client then asks here to solve `dockerfile.v0`, and `Return` ends it.
 */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from '@connectrpc/connect'
import { type BuildResult, parsePlatform } from '../build/index.ts'
import { invalid } from '../errors.ts'
import type { GrpcContext } from './grpc.ts'
import { exporterResponse, workerRecord } from './grpc-control.ts'
import { setDetails, toConnectError } from './grpc-errors.ts'
import { definedResult, resultDefinition } from './grpc-inputs.ts'
import { type SolveWords, solveRequest } from './grpc-request.ts'
import { DESCRIBE, describeRequests, subrequestResult } from './grpc-subrequests.ts'
import { LLBBridge, type RefSchema, type SolveRequest } from './proto/gen/gateway_pb.js'

/** The header that says which build a call belongs to. */
const BUILD_ID = 'buildkit-controlapi-buildid'

/** What clients check for before they use it. */
const FRONTEND_CAPS = [
  'solve.base',
  'solve.inlinereturn',
  'resolveimage',
  'resolveimage.resolvemode',
  'readfile',
  'return',
  'returnmap',
  'readdir',
  'statfile',
  'importcaches',
  'proto.refarray',
  'reference.output',
  'frontend.inputs',
  'gateway.solve.metadata',
  'gateway.evaluate.solve',
  'gateway.evaluate',
  'gateway.warnings',
]

/** What of the solver clients check for: several outputs at once, a limit to what the cache may hold. */
const LLB_CAPS = ['exporter.multiple', 'gc.freespacefilter']

type Words = Omit<SolveWords, 'attrs'>

interface Gateway {
  words: Words
  result?: BuildResult
  close(error?: unknown): void
}

export class Gateways {
  readonly #open = new Map<string, Gateway>()
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #ends = new Map<string, AbortController>()

  /** Aborts when the gateway `ref`, which may not be open yet, has closed: a client may close it without having built. */
  ended(ref: string): AbortSignal {
    const known = this.#ends.get(ref) ?? new AbortController()
    this.#ends.set(ref, known)
    return known.signal
  }

  /** A client may ask how a gateway goes when it has closed already, so its end is remembered for a while. */
  #end(ref: string): void {
    this.ended(ref) // makes the controller, if nobody waits yet
    this.#ends.get(ref)!.abort()
    setTimeout(() => this.forget(ref), REMEMBERED).unref()
  }

  /** Nobody waits for the end of this one any more. */
  forget(ref: string): void {
    this.#ends.delete(ref)
  }

  /** Resolves with the exporters' answers when the client returns. */
  open(ref: string, words: Words): Promise<Record<string, string>> {
    return new Promise((resolve, reject) => {
      const onAbort = () => gateway.close(words.signal.reason)
      const gateway: Gateway = {
        words,
        close: error => {
          words.signal.removeEventListener('abort', onAbort)
          this.#open.delete(ref)
          this.#end(ref)
          if (error !== undefined) reject(error)
          else resolve(gateway.result ? exporterResponse(gateway.result) : {})
        },
      }
      words.signal.addEventListener('abort', onAbort, { once: true })
      this.#open.set(ref, gateway)
      for (const wake of this.#waiting.get(ref) ?? []) wake()
      this.#waiting.delete(ref)
    })
  }

  /** The client asks at once on another stream: its gateway may be just opening. */
  async find(context: HandlerContext): Promise<Gateway> {
    const ref = context.requestHeader.get(BUILD_ID)
    if (!ref) throw new ConnectError('no build ID in the request', Code.InvalidArgument)
    const known = this.#open.get(ref)
    if (known) return known
    await new Promise<void>((resolve, reject) => {
      const waiting = this.#waiting.get(ref) ?? new Set()
      this.#waiting.set(ref, waiting)
      const timer = setTimeout(() => {
        waiting.delete(wake)
        reject(new ConnectError(`no such job ${ref}`, Code.NotFound))
      }, PATIENCE)
      const wake = (): void => {
        clearTimeout(timer)
        resolve()
      }
      waiting.add(wake)
    })
    return this.#open.get(ref)!
  }
}

const PATIENCE = 5000
/** Milliseconds for which a closed gateway is remembered. */
const REMEMBERED = 60_000

export function gatewayService(router: ConnectRouter, context: GrpcContext): void {
  const { gateways, builder } = context
  const unsupported = (what: string) => () => {
    throw new ConnectError(`${what} is not supported`, Code.Unimplemented)
  }
  router.service(LLBBridge, {
    ping: async (_, call) => {
      await gateways.find(call)
      return {
        FrontendAPICaps: FRONTEND_CAPS.map(ID => ({ ID, Enabled: true })),
        LLBCaps: LLB_CAPS.map(ID => ({ ID, Enabled: true })),
        Workers: [workerRecord()],
      }
    },
    solve: async (request, call) => {
      try {
        const gateway = await gateways.find(call)
        if (request.Frontend === '') {
          if (request.Definition?.def.length) throw invalid('definitions of operations are not taken')
          return { result: { result: { case: 'ref' as const, value: { id: '' } } } }
        }
        if (request.Frontend !== 'dockerfile.v0')
          throw invalid(`frontend ${request.Frontend} is not supported`)
        return await solveDockerfile(context, gateway, request)
      } catch (error) {
        throw toConnectError(error, call.signal.aborted)
      }
    },
    return: async (request, call) => {
      const gateway = await gateways.find(call)
      const { error } = request
      gateway.close(error ? forwarded(error.code, error.message, error.details) : undefined)
      return {}
    },
    inputs: () => ({ Definitions: {} }),
    evaluate: () => ({}),
    warn: () => ({}),
    resolveImageConfig: async (request, call) => {
      const gateway = await gateways.find(call)
      try {
        const platform = request.Platform
          ? parsePlatform(
              [request.Platform.OS, request.Platform.Architecture, request.Platform.Variant]
                .filter(Boolean)
                .join('/'),
            )
          : undefined
        const found = await builder.resolveImage(request.Ref, {
          ...(platform && { platform }),
          pull: request.ResolveMode === 'pull',
          auth: async host => gateway.words.session?.credentials(host),
          signal: call.signal,
        })
        return { Digest: found.digest, Config: Buffer.from(JSON.stringify(found.config)), Ref: found.ref }
      } catch (error) {
        throw toConnectError(error)
      }
    },
    readFile: unsupported('ReadFile'),
    readDir: unsupported('ReadDir'),
    statFile: unsupported('StatFile'),
  })
}

async function solveDockerfile(
  { builder }: GrpcContext,
  gateway: Gateway,
  { FrontendOpt: attrs, FrontendInputs }: SolveRequest,
) {
  if (attrs['requestid'] === DESCRIBE) return answer({ id: '' }, describeRequests())
  const inputs = Object.entries(FrontendInputs).map(([name, definition]) => [name, definedResult(definition)])
  const words: SolveWords = { ...gateway.words, attrs, inputs: Object.fromEntries(inputs) }
  const result = await builder.build(solveRequest(words))
  gateway.result = result
  const ref = { id: result.id, def: resultDefinition(result.id) }
  const files = subrequestResult(attrs['requestid'], result)
  if (files) return answer(ref, files)
  const config = result.images[0]?.config
  return answer(ref, config ? { 'containerimage.config': Buffer.from(JSON.stringify(config)) } : {})
}

const answer = (value: MessageInitShape<typeof RefSchema>, metadata: Record<string, Uint8Array>) => ({
  result: { result: { case: 'ref' as const, value }, metadata },
})

/** The client's own account of why the build failed, which was ours before: with its details. */
function forwarded(
  code: number,
  message: string,
  details: { typeUrl: string; value: Uint8Array }[],
): ConnectError {
  const error = new ConnectError(message, code as Code)
  if (details.length > 0) setDetails(error, details)
  return error
}
