/** The attributes with which BuildKit's clients describe a build, as a {@link BuildRequest}. */
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { fromBinary } from '@bufbuild/protobuf'
import type { BuildRequest, CacheOption, NamedContext, Output } from '../build/index.ts'
import { parsePlatform } from '../build/index.ts'
import { invalid, notImplemented } from '../errors.ts'
import { isDigest } from '../image/digest.ts'
import { BytesMessageSchema } from './proto/gen/session_pb.js'
import type { Session } from './session.ts'
import { sessionBlobs } from './session-blobs.ts'
import type { LocalFolders } from './session-locals.ts'
import { sendFiles } from './session-send.ts'

export interface SolveWords {
  ref: string
  session: Session | undefined
  attrs: Record<string, string>
  exporters: { type: string; attrs: Record<string, string> }[]
  cacheImports: CacheOption[]
  cacheExports: CacheOption[]
  entitlements: string[]
  /** Results of other builds, by the names that contexts call them. */
  inputs?: Record<string, string | undefined>
  folders: LocalFolders
  signal: AbortSignal
}

export function solveRequest(words: SolveWords): BuildRequest {
  const { attrs, session, ref, signal } = words
  const request: BuildRequest = {
    id: ref,
    signal,
    context: contextOf(words),
    ...dockerfileOf(words),
    contexts: namedContexts(words),
    buildArgs: prefixed(attrs, 'build-arg:'),
    labels: prefixed(attrs, 'label:'),
    pull: attrs['image-resolve-mode'] === 'pull',
    outputs: words.exporters.map((exporter, index) => outputOf(words, exporter, index)),
    cacheFrom: words.cacheImports,
    cacheTo: words.cacheExports,
    entitlements: words.entitlements,
    ...optionsOf(attrs),
  }
  if (session) {
    request.local = wanted => words.folders.take(session, wanted)
    request.secret = id => session.secret(id)
    request.ssh = id => session.ssh(id)
    request.auth = host => session.credentials(host)
    request.blobs = store => sessionBlobs(session, store)
  }
  return request
}

function optionsOf(attrs: Record<string, string>): Partial<BuildRequest> {
  const noCache = attrs['no-cache']
  const network = attrs['force-network-mode']
  return {
    ...(attrs['target'] && { target: attrs['target'] }),
    ...(attrs['platform'] && { platforms: attrs['platform'].split(',').map(parsePlatform) }),
    ...(noCache === '' && { noCache: true }),
    ...(noCache && { noCacheFilter: noCache.split(',') }),
    ...(network && { network: networkOf(network) }),
    ...(attrs['add-hosts'] && { extraHosts: attrs['add-hosts'].split(',') }),
    ...(attrs['shm-size'] && { shmSize: Number(attrs['shm-size']) }),
    ...(attrs['ulimit'] && { ulimits: attrs['ulimit'].split(',').map(ulimitOf) }),
    ...(attrs['cgroup-parent'] && { cgroupParent: attrs['cgroup-parent'] }),
    ...(attrs['hostname'] && { hostname: attrs['hostname'] }),
    ...requestOf(attrs['requestid']),
  }
}

/** What is asked for instead of a build. */
function requestOf(id: string | undefined): Pick<BuildRequest, 'check' | 'describe'> {
  if (!id) return {}
  if (id === 'frontend.lint') return { check: true }
  if (id === 'frontend.outline') return { describe: 'outline' }
  if (id === 'frontend.targets') return { describe: 'targets' }
  throw invalid(`unsupported request ${id}`)
}

function networkOf(text: string): 'default' | 'none' | 'host' {
  if (text === 'none' || text === 'host') return text
  if (text === 'default' || text === 'sandbox' || text === 'bridge') return 'default'
  throw invalid(`invalid network mode ${text}`)
}

/** `nofile=1024:2048` */
function ulimitOf(text: string) {
  const [name = '', limits = ''] = text.split('=')
  const [soft = 0, hard = soft] = limits.split(':').map(Number)
  return { name, soft, hard }
}

function prefixed(attrs: Record<string, string>, prefix: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(attrs).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
    ),
  )
}

/** A tar or Dockerfile that the client has on its standard input comes under this host. */
const UPLOAD = 'http://buildkit-session/'

function contextOf({ attrs, session }: SolveWords): BuildRequest['context'] {
  const context = attrs['context']
  if (!context) return { kind: 'local', name: attrs['contextkey'] || 'context' }
  if (context.startsWith(UPLOAD)) {
    if (!session) throw invalid('no session for the uploaded context')
    return { kind: 'tar', stream: upload(session, context.slice(UPLOAD.length)) }
  }
  if (context.startsWith('local:')) return { kind: 'local', name: context.slice('local:'.length) }
  return { kind: 'remote', url: context }
}

function upload(session: Session, name: string): PassThrough {
  const out = new PassThrough()
  const stream = session.rpc.stream('/moby.upload.v1.Upload/Pull', { urlpath: `/${name}` }, bytes => {
    if (!out.write(fromBinary(BytesMessageSchema, bytes).data)) {
      stream.pause()
      out.once('drain', () => stream.resume())
    }
  })
  stream.end()
  stream.ended.then(
    () => out.end(),
    error => out.destroy(error),
  )
  return out
}

function dockerfileOf({ attrs }: SolveWords): Pick<BuildRequest, 'dockerfile' | 'dockerfileContext'> {
  const isRemote = attrs['context'] !== undefined && attrs['context'] !== '' && !attrs['dockerfilekey']
  return {
    ...(attrs['filename'] && { dockerfile: attrs['filename'] }),
    ...(!isRemote && {
      dockerfileContext: { kind: 'local' as const, name: attrs['dockerfilekey'] || 'dockerfile' },
    }),
  }
}

/** `oci-layout://STORE@sha256:…`: the client has found out which digest its layout has under the tag. */
function layoutContext(words: SolveWords, name: string, value: string): NamedContext {
  const [, store, digest] = /^oci-layout:\/\/(.+?)(?::[^:@/]+)?@(.+)$/.exec(value) ?? []
  if (!store || !digest || !isDigest(digest)) throw invalid(`invalid OCI layout context ${name}: ${value}`)
  return { kind: 'layout', blobs: sessionBlobs(sessionOf(words), `oci:${store}`), digest }
}

function namedContexts(words: SolveWords): Record<string, NamedContext> {
  const { attrs } = words
  return Object.fromEntries(
    Object.entries(prefixed(attrs, 'context:')).map(([name, value]): [string, NamedContext] => {
      if (value.startsWith('docker-image://')) {
        return [name, { kind: 'image', ref: value.slice('docker-image://'.length) }]
      }
      if (value.startsWith('local:')) return [name, { kind: 'local', name: value.slice('local:'.length) }]
      if (value.startsWith('oci-layout:')) return [name, layoutContext(words, name, value)]
      if (value.startsWith('input:')) {
        const build = words.inputs?.[value.slice('input:'.length)]
        if (build === undefined) throw invalid(`context ${name}: no such input: ${value}`)
        return [name, { kind: 'result', build }]
      }
      return [name, { kind: 'remote', url: value }]
    }),
  )
}

function outputOf(
  words: SolveWords,
  { type, attrs }: SolveWords['exporters'][number],
  index: number,
): Output {
  const names = (attrs['name'] ?? '').split(',').filter(Boolean)
  const id = String(index)
  checkCompression(type, attrs['compression'])
  switch (type) {
    case 'moby':
    case 'image':
      return {
        type: 'image',
        names,
        push: attrs['push'] === 'true',
        store: attrs['store'] !== 'false',
        annotations: annotationsOf(attrs),
      }
    case 'local':
      return { type: 'local', open: () => clientFolder(words, id) }
    case 'tar':
      return { type: 'tar', open: async () => clientFile(words, id) }
    case 'oci':
    case 'docker': {
      const layout = attrs['tar'] === 'false' && sessionBlobs(sessionOf(words), 'export')
      return {
        type,
        names,
        open: async () => clientFile(words, id),
        annotations: annotationsOf(attrs),
        ...(layout && { layout }),
      }
    }
    case 'cacheonly':
      return { type: 'none' }
    default:
      throw invalid(`exporter ${JSON.stringify(type)} could not be found`)
  }
}

/** Layers are kept as they are made, plain; whoever pushes them compresses them with gzip. */
function checkCompression(type: string, asked: string | undefined): void {
  if (asked === undefined || asked === 'uncompressed' || (asked === 'gzip' && type !== 'oci')) return
  throw notImplemented(`compression ${asked} for the exporter ${type} is not implemented`)
}

/** `annotation.key`, `annotation-manifest.key`, `annotation-manifest[linux/amd64].key`: what a manifest is to carry. */
function annotationsOf(attrs: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(attrs).flatMap(([name, value]) => {
      const key = /^annotation(?:-manifest)?(?:\[[^\]]*\])?\.(.+)$/.exec(name)?.[1]
      return key === undefined ? [] : [[key, value]]
    }),
  )
}

function sessionOf({ session }: SolveWords): Session {
  if (!session) throw invalid('this output needs a session')
  return session
}

/** Filled here, then sent. */
async function clientFolder(words: SolveWords, id: string) {
  const session = sessionOf(words)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-output-'))
  return {
    path: folder,
    async close() {
      try {
        await sendFiles(session, folder, id, words.signal)
      } finally {
        fs.rmSync(folder, { recursive: true, force: true })
      }
    },
  }
}

/** Bytes in one message. */
const CHUNK = 64 * 1024

/** A file that the client writes. It has finished when the client has all of it; what was written may change when the next is asked for. */
function clientFile(words: SolveWords, id: string): Writable {
  const session = sessionOf(words)
  const stream = session.rpc.stream(
    '/moby.filesync.v1.FileSend/DiffCopy',
    { 'buildkit-attachable-exporter-id': id },
    () => {},
  )
  const send = async (bytes: Buffer): Promise<void> => {
    const parts = Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, index) => index * CHUNK)
    await Promise.all(parts.map(at => stream.sendBytes(bytes.subarray(at, at + CHUNK))))
  }
  const finish = async (): Promise<void> => {
    stream.end()
    await stream.ended
  }
  return new Writable({
    write: (bytes: Buffer, _, done) => void send(bytes).then(() => done(), done),
    final: done => void finish().then(() => done(), done),
    destroy(error, done) {
      if (error) stream.cancel()
      done(error)
    },
  })
}
