/** The bodies of requests: JSON documents up to a limit. What is longer (archives, contexts) is a stream. */
import type { IncomingMessage } from 'node:http'
import { invalid, messageOf, tooLarge } from '../errors.ts'

/** Bytes of a JSON document. A container with a 10 MB environment still fits. */
export const MAX_JSON_BODY = 32 << 20

/** The whole body. Raises `tooLarge` beyond {@link MAX_JSON_BODY} before it is read. */
export function readBody(req: IncomingMessage, limit = MAX_JSON_BODY): Promise<Buffer> {
  const refuse = () => tooLarge(`request body is larger than ${limit} bytes`)
  if (Number(req.headers['content-length']) > limit) return Promise.reject(refuse())
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) {
        chunks.length = 0
        req.removeAllListeners('data').resume()
        reject(refuse())
      } else chunks.push(chunk)
    })
    req.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    req.on('error', reject)
    req.on('close', () => reject(invalid('unexpected end of the request body')))
  })
}

/** Raises `invalid` unless the request says that it carries JSON; a request without a body may say nothing. */
export function checkJsonType(req: IncomingMessage): void {
  const type = req.headers['content-type']
  if (type === undefined && !req.headers['transfer-encoding'] && !Number(req.headers['content-length']))
    return
  const [name = ''] = (type ?? '').split(';', 1)
  if (name.trim().toLowerCase() === 'application/json') return
  throw invalid(
    type === undefined
      ? 'malformed Content-Type header (): mime: no media type'
      : `unsupported Content-Type header (${type}): must be 'application/json'`,
  )
}

/** The JSON document in `bytes`. Raises `invalid` in the words that Docker has for what is wrong. */
export function parseJson(bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  if (text.trim() === '') throw invalid('invalid JSON: got EOF while reading request body')
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(jsonProblem(text, error))
  }
}

/** Where V8 found what it did not expect, in the words of Go. */
const places: [RegExp, string][] = [
  [
    /Expected property name|Expected double-quoted property name/,
    'looking for beginning of object key string',
  ],
  [/Expected ':' after property name/, 'after object key'],
  [/Expected ',' or '\]'/, 'after array element'],
  [/Expected ',' or '}'|Unexpected number/, 'after object key:value pair'],
  [/Bad control character/, 'in string literal'],
  [/Bad escaped character|Bad Unicode escape/, 'in string escape code'],
]

function jsonProblem(text: string, error: unknown): string {
  const problem = messageOf(error)
  if (/end of JSON input|Unterminated|Expected .* end/.test(problem) || endsEarly(text, problem)) {
    return 'invalid JSON: unexpected EOF'
  }
  if (/after JSON/.test(problem)) return 'unexpected content after JSON'
  const at = /at position (\d+)/.exec(problem)?.[1]
  const found = at === undefined ? /Unexpected token '(.+?)'/su.exec(problem)?.[1] : text[Number(at)]
  if (found === undefined) return `invalid JSON: ${problem}`
  const place = places.find(([pattern]) => pattern.test(problem))?.[1] ?? 'looking for beginning of value'
  return `invalid JSON: invalid character '${found === "'" ? "\\'" : found}' ${place}`
}

/** V8 words a document that stops short in several ways, each with the position of its end. */
function endsEarly(text: string, problem: string): boolean {
  const position = /at position (\d+)/.exec(problem)?.[1]
  return position !== undefined && Number(position) >= text.trimEnd().length
}
