/** `gantry registry`: run a registry, and look after its storage. It needs no daemon and no root. */
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { text } from 'node:stream/consumers'
import { createSecureContext } from 'node:tls'
import bcrypt from 'bcryptjs'
import { Command, Option } from 'commander'
import { invalid, messageOf, notFound } from '../errors.ts'
import { createLogger } from '../logger.ts'
import { HUB, HUB_REGISTRY } from '../registry/endpoints.ts'
import type { AccessOptions } from '../registry/server/access.ts'
import { collect } from '../registry/server/collector.ts'
import { Passwords } from '../registry/server/passwords.ts'
import type { PullThroughOptions } from '../registry/server/pull-through.ts'
import { RegistryServer } from '../registry/server/registry-server.ts'
import { RegistryStore } from '../registry/server/registry-store.ts'
import { PULL_EVERYTHING, parseRights } from '../registry/server/rights.ts'
import { createWire } from '../registry/wire.ts'

interface ServeFlags {
  root: string
  addr: string
  externalUrl?: string
  tlsCert?: string
  tlsKey?: string
  htpasswd?: string
  rights?: string
  anonymousPull?: boolean
  tokenRealm?: string
  tokenService?: string
  tokenIssuer?: string
  tokenKey?: string
  proxy?: string
  proxyUser?: string
  proxyPasswordFile?: string
  proxyTagLifetime: number
  proxyLifetime: number
  maxManifestSize: number
  maxBlobSize?: number
  maxUploads: number
  uploadAge: number
  gcInterval: number
  gcGrace: number
  gcUntagged?: boolean
  logFormat: 'text' | 'json'
  logLevel: 'debug' | 'info' | 'warn' | 'error'
}

/** The `registry` command, to be added to the program. */
export function registryCommand(): Command {
  const command = new Command('registry').description('Run a registry, or look after its storage')
  command
    .command('serve')
    .description('Serve images and other artifacts over the OCI distribution protocol')
    .option('--root <folder>', 'where everything is kept', defaultRoot())
    .option('--addr <host:port>', 'where to listen', ':5000')
    .option('--external-url <url>', 'how clients reach it, where that is by way of another server')
    .option('--tls-cert <file>', 'certificate chain (PEM): serve HTTPS')
    .option('--tls-key <file>', 'its key (PEM)')
    .option('--htpasswd <file>', 'users and bcrypt hashes')
    .option('--rights <file>', 'who may pull, push and delete what (JSON)')
    .option('--anonymous-pull', 'everyone may pull')
    .option('--token-realm <url>', 'an outside token server')
    .option('--token-service <name>', 'audience of its tokens', 'gantry-registry')
    .option('--token-issuer <name>', 'issuer of its tokens')
    .option('--token-key <file>', 'certificates or public keys of its tokens (PEM)')
    .option('--proxy <url>', 'be a pull-through cache of another registry')
    .option('--proxy-user <name>', 'user there')
    .option('--proxy-password-file <file>', 'password there')
    .addOption(option('--proxy-tag-lifetime <duration>', 'how long a tag is believed', duration, '5m'))
    .addOption(option('--proxy-lifetime <duration>', 'how long what was fetched is kept', duration, '7d'))
    .addOption(option('--max-manifest-size <size>', 'largest manifest taken', size, '4m'))
    .option('--max-blob-size <size>', 'largest blob taken', size)
    .option('--max-uploads <n>', 'uploads under way at once', count, 1000)
    .addOption(option('--upload-age <duration>', 'when an idle upload is forgotten', duration, '7d'))
    .addOption(
      option('--gc-interval <duration>', 'time between garbage collections; 0 for none', duration, '1h'),
    )
    .addOption(option('--gc-grace <duration>', 'how long unreferenced content is kept', duration, '1d'))
    .option('--gc-untagged', 'collect manifests without a tag, too')
    .addOption(new Option('--log-format <format>').choices(['text', 'json']).default('text'))
    .addOption(new Option('--log-level <level>').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .action(serve)
  command
    .command('htpasswd')
    .description(
      'Print the line of a user for an htpasswd file; the password is the first line of the standard input',
    )
    .argument('<name>')
    .action(async (name: string) => {
      process.stdout.write(await passwordLine(name, await text(process.stdin)))
    })
  command
    .command('gc')
    .description('Collect garbage in the storage of a registry that does not run')
    .option('--root <folder>', 'where everything is kept', defaultRoot())
    .addOption(option('--grace <duration>', 'how long unreferenced content is kept', duration, '1d'))
    .option('--untagged', 'collect manifests without a tag, too')
    .action(async (flags: { root: string; grace: number; untagged?: boolean }) => {
      const root = path.resolve(flags.root)
      if (!fs.existsSync(path.join(root, 'repositories'))) throw notFound(`${root}: no registry's storage`)
      const store = new RegistryStore(root)
      const result = await collect(store, { grace: flags.grace, untagged: flags.untagged ?? false })
      store.close()
      process.stdout.write(
        `${result.manifests} manifests, ${result.blobs} blobs, ${result.bytes} bytes removed\n`,
      )
    })
  return command
}

/** Bcrypt's rounds: a guess costs a quarter of a second of a processor. */
const ROUNDS = 12

/** `name:hash`. Throws invalid for what an htpasswd file, or bcrypt, cannot hold. */
export async function passwordLine(name: string, input: string, rounds = ROUNDS): Promise<string> {
  const [password = ''] = input.split(/\r?\n/, 1)
  if (name === '' || /[:#\s]/.test(name)) throw invalid(`${JSON.stringify(name)}: not a name of a user`)
  if (password === '') throw invalid('the password is empty')
  if (bcrypt.truncates(password)) throw invalid('a password may have 72 bytes')
  return `${name}:${await bcrypt.hash(password, rounds)}\n`
}

/** An option with a default as one would write it. */
function option(
  flags: string,
  description: string,
  parse: (text: string) => number,
  otherwise: string,
): Option {
  return new Option(flags, description).argParser(parse).default(parse(otherwise), otherwise)
}

async function serve(flags: ServeFlags): Promise<void> {
  const logger = createLogger({ level: flags.logLevel, format: flags.logFormat })
  const tls = tlsOf(flags)
  const { host, port } = parseAddress(flags.addr)
  const server = new RegistryServer({
    root: path.resolve(flags.root),
    ...(host && { host }),
    port,
    ...(tls && { tls }),
    ...(flags.externalUrl && { externalUrl: flags.externalUrl.replace(/\/$/, '') }),
    access: accessOf(flags),
    limits: {
      manifestBytes: flags.maxManifestSize,
      uploads: flags.maxUploads,
      uploadAge: flags.uploadAge,
      grace: flags.gcGrace,
      ...(flags.maxBlobSize !== undefined && { blobBytes: flags.maxBlobSize }),
    },
    ...(flags.proxy && { upstream: upstreamOf(flags, flags.proxy) }),
    collectEvery: flags.gcInterval,
    collectUntagged: flags.gcUntagged ?? false,
    logger,
  })
  await server.start()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => void server.stop().then(() => process.exit(0)))
  }
}

function tlsOf({ tlsCert, tlsKey }: ServeFlags): { cert: Buffer; key: Buffer } | undefined {
  if (!tlsCert && !tlsKey) return undefined
  if (!tlsCert || !tlsKey) throw invalid('--tls-cert and --tls-key belong together')
  const tls = { cert: fs.readFileSync(tlsCert), key: fs.readFileSync(tlsKey) }
  try {
    createSecureContext(tls)
  } catch (error) {
    throw invalid(`${tlsCert} and ${tlsKey} are not a certificate and its key: ${messageOf(error)}`, error)
  }
  return tls
}

function accessOf(flags: ServeFlags): AccessOptions {
  const { htpasswd, rights, anonymousPull, tokenRealm, tokenService = '', tokenIssuer, tokenKey } = flags
  if (tokenRealm && !tokenKey) throw invalid('--token-realm needs --token-key')
  const named = rights ? parseRights(fs.readFileSync(rights, 'utf8')) : undefined
  return {
    ...(htpasswd && { passwords: new Passwords(htpasswd) }),
    ...((named || anonymousPull) && {
      rights: { ...named, ...(anonymousPull && { anonymous: PULL_EVERYTHING }) },
    }),
    ...(tokenRealm &&
      tokenKey && {
        tokenServer: {
          realm: tokenRealm,
          service: tokenService,
          keys: publicKeys(fs.readFileSync(tokenKey, 'utf8')),
          ...(tokenIssuer && { issuer: tokenIssuer }),
        },
      }),
  }
}

/** Every certificate and public key of a PEM file. */
function publicKeys(pem: string): KeyObject[] {
  const blocks = pem.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g) ?? []
  return blocks.map(block =>
    block.includes('CERTIFICATE') ? new X509Certificate(block).publicKey : createPublicKey(block),
  )
}

function upstreamOf(
  flags: ServeFlags,
  proxy: string,
): Omit<PullThroughOptions, 'logger'> & { lifetime: number } {
  const url = URL.parse(proxy.includes('://') ? proxy : `https://${proxy}`)
  if (!url || !/^https?:$/.test(url.protocol)) throw invalid(`--proxy ${proxy}: not a URL`)
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  if (url.host === HUB) url.host = HUB_REGISTRY
  const wire = createWire({})
  const password = flags.proxyPasswordFile && fs.readFileSync(flags.proxyPasswordFile, 'utf8').trim()
  return {
    wire,
    endpoint: { url, tls: wire.endpoints.tlsFor(url), mirror: false },
    ...(flags.proxyUser && { auth: { username: flags.proxyUser, password: password || '' } }),
    tagLifetime: flags.proxyTagLifetime,
    lifetime: flags.proxyLifetime,
  }
}

/** `:5000`, `127.0.0.1:5000`, `[::1]:5000`, `5000` */
export function parseAddress(text: string): { host: string | undefined; port: number } {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]*)):)?(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) throw invalid(`--addr ${text}: not host:port`)
  return { host: match[1] || match[2] || undefined, port }
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3600_000, d: 24 * 3600_000 }

/** `90s`, `1h30m`, `7d`, in milliseconds. */
export function duration(text: string): number {
  if (text === '0') return 0
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw invalid(`${text}: not a duration such as 90s or 7d`)
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit!]!, 0)
}

/** `4m`, `512k`, `2g`, in bytes. */
export function size(text: string): number {
  const match = /^(\d+)([kmgt]?)b?$/i.exec(text)
  if (!match) throw invalid(`${text}: not a size such as 4m`)
  return Number(match[1]) * 1024 ** ' kmgt'.indexOf(match[2]!.toLowerCase() || ' ')
}

function count(text: string): number {
  if (!/^\d+$/.test(text)) throw invalid(`${text}: not a number`)
  return Number(text)
}

function defaultRoot(): string {
  if (process.getuid?.() === 0) return '/var/lib/gantry-registry'
  return path.join(
    process.env['XDG_DATA_HOME'] ?? path.join(process.env['HOME'] ?? '.', '.local/share'),
    'gantry-registry',
  )
}

if (import.meta.main) {
  try {
    await new Command('gantry').addCommand(registryCommand()).parseAsync()
  } catch (error) {
    process.stderr.write(`gantry registry: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
