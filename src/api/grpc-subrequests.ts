/** Answers to what clients ask instead of a build (`docker build --check`, `--call=outline`): JSON, as BuildKit's Dockerfile frontend writes it. */
import type { BuildResult } from '../build/index.ts'

type Files = Record<string, Uint8Array>
type Parameter = NonNullable<BuildResult['outline']>['args'][number]
type Range = Parameter['range']

/** What `subrequests.describe` lists. */
const KNOWN = [
  { name: 'frontend.outline', description: 'List all parameters current build target supports' },
  { name: 'frontend.targets', description: 'List all targets current build supports' },
  { name: 'frontend.lint', description: 'Lint a Dockerfile' },
  { name: 'frontend.subrequests.describe', description: 'List available subrequest types' },
]

export const DESCRIBE = 'frontend.subrequests.describe'

export function describeRequests(): Files {
  const list = KNOWN.map(one => ({ ...one, version: '1.0.0', type: 'rpc', opts: null, inputs: null }))
  return files(list)
}

/** `undefined` for a build. */
export function subrequestResult(id: string | undefined, result: BuildResult): Files | undefined {
  if (id === 'frontend.lint') return lintResult(result)
  const sources = result.source ? [Buffer.from(result.source.text).toString('base64')] : []
  if (result.targets) {
    const targets = result.targets.map(({ isDefault, range, ...one }) => ({
      ...one,
      ...(isDefault && { default: true }),
      location: location(range),
    }))
    return files({ targets, sources })
  }
  if (!result.outline) return undefined
  const { args, secrets, ssh, ...outline } = result.outline
  const placed = (list: readonly Parameter[]) =>
    list.map(({ range, ...one }) => ({ ...one, location: location(range) }))
  return files({ ...outline, args: placed(args), secrets: placed(secrets), ssh: placed(ssh), sources })
}

function files(json: unknown, more: Record<string, string> = {}): Files {
  const all = { 'result.json': JSON.stringify(json, null, 2), version: '1.0.0', ...more }
  return Object.fromEntries(Object.entries(all).map(([name, text]) => [name, Buffer.from(text)]))
}

const location = ({ start, end }: Range) => ({
  sourceIndex: 0,
  ranges: [{ start: { line: start, character: 0 }, end: { line: end, character: 0 } }],
})

/** What `docker build --check` shows. */
function lintResult({ warnings, source, fault }: BuildResult): Files {
  const json = {
    warnings: warnings.map(({ rule, description, url, detail, range }) => ({
      ruleName: rule,
      description,
      url,
      detail,
      location: location(range),
    })),
    ...(fault && {
      buildError: { message: fault.message, ...(fault.range && { location: location(fault.range) }) },
    }),
    sources: source
      ? [
          {
            filename: source.filename,
            data: Buffer.from(source.text).toString('base64'),
            language: 'Dockerfile',
          },
        ]
      : [],
  }
  const text = warnings.map(
    ({ rule, url, detail, range }) => `\nWARNING: ${rule} - ${url}\n${detail}\nDockerfile:${range.start}\n`,
  )
  return files(json, {
    'result.txt': text.join(''),
    'result.statuscode': warnings.length > 0 || fault ? '1' : '0',
  })
}
