/** `RUN --mount=type=…,…`: the comma-separated words of the flag. */
import { invalid } from '../../errors.ts'
import type { MountFlag } from '../dockerfile/instructions.ts'
import { withSuggestion } from '../dockerfile/suggest.ts'

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const
const KEYS = [
  'type',
  'from',
  'source',
  'target',
  'readonly',
  'id',
  'sharing',
  'required',
  'size',
  'mode',
  'uid',
  'gid',
  'src',
  'dst',
  'ro',
  'readwrite',
  'rw',
  'env',
  'destination',
  'dest',
]

/** Read one flag; `expand` is applied to the values that may hold variables. */
export function parseMountFlag(text: string, expand: (value: string) => string): MountFlag {
  const mount: MountFlag = { type: 'bind' }
  for (const field of csvFields(text)) {
    const equals = field.indexOf('=')
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
    if (equals < 0) {
      if (key === 'readonly' || key === 'ro') mount.readOnly = true
      else if (key === 'readwrite' || key === 'rw') mount.readOnly = false
      else if (key === 'required') mount.required = true
      else throw invalid(withSuggestion(`invalid field '${field}' must be a key=value pair`, key, KEYS))
      continue
    }
    readField(mount, key, expand(field.slice(equals + 1)), field)
  }
  check(mount)
  return mount
}

function readField(mount: MountFlag, key: string, value: string, field: string): void {
  switch (key) {
    case 'type':
      if (!TYPES.includes(value as MountFlag['type'])) {
        throw invalid(withSuggestion(`unsupported mount type "${value}"`, value, TYPES))
      }
      mount.type = value as MountFlag['type']
      break
    case 'from':
      mount.from = value
      break
    case 'source':
    case 'src':
      mount.source = value
      break
    case 'target':
    case 'dst':
    case 'dest':
    case 'destination':
      mount.target = value
      break
    case 'readonly':
    case 'ro':
      mount.readOnly = bool(key, value)
      break
    case 'readwrite':
    case 'rw':
      mount.readOnly = !bool(key, value)
      break
    case 'required':
      mount.required = bool(key, value)
      break
    case 'id':
      mount.id = value
      break
    case 'env':
      mount.env = value
      break
    case 'sharing': {
      const known = ['shared', 'private', 'locked']
      if (!known.includes(value))
        throw invalid(withSuggestion(`unsupported sharing value "${value}"`, value, known))
      mount.sharing = value as NonNullable<MountFlag['sharing']>
      break
    }
    case 'size':
      mount.size = bytes(key, value)
      break
    case 'mode':
      if (!/^[0-7]+$/.test(value)) throw invalid(`invalid value ${value} for mode`)
      mount.mode = Number.parseInt(value, 8)
      break
    case 'uid':
    case 'gid':
      if (!/^\d+$/.test(value)) throw invalid(`invalid value ${value} for ${key}`)
      mount[key] = Number(value)
      break
    default:
      throw invalid(withSuggestion(`unexpected key '${key}' in '${field}'`, key, KEYS))
  }
}

function check(mount: MountFlag): void {
  const { type } = mount
  if (type === 'bind' || type === 'tmpfs') {
    const owned = (['mode', 'uid', 'gid'] as const).find(key => mount[key] !== undefined)
    if (owned) throw invalid(`${owned} not allowed for "${type}" type mounts`)
  }
  if (mount.sharing && type !== 'cache') throw invalid(`invalid cache sharing set for ${type} mount`)
  if (mount.required !== undefined && type !== 'secret' && type !== 'ssh') {
    throw invalid(`unexpected key 'required' for mount type '${type}'`)
  }
  if (mount.size !== undefined && type !== 'tmpfs') {
    throw invalid(`unexpected key 'size' for mount type '${type}'`)
  }
  if (type === 'secret' && mount.from !== undefined) throw invalid('secret mount should not have a from')
  if (
    type === 'secret' &&
    mount.target === undefined &&
    mount.env === undefined &&
    !mount.id &&
    !mount.source
  ) {
    throw invalid('invalid secret mount. one of source, target required')
  }
}

function bool(key: string, value: string): boolean {
  if (/^(1|t|true)$/i.test(value)) return true
  if (/^(0|f|false)$/i.test(value)) return false
  throw invalid(`invalid value for ${key}: ${value}`)
}

const UNITS: Record<string, number> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/** `64m`, `1.5GiB`: bytes. */
function bytes(key: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim())
  if (!match) throw invalid(`invalid value for ${key}: ${text}`)
  return Math.floor(Number(match[1]) * UNITS[match[2]!.toLowerCase()]!)
}

/** One line of comma-separated values, with `"…"` around those that hold a comma. */
export function csvFields(text: string): string[] {
  const fields: string[] = []
  let field = ''
  let quoted = false
  for (let index = 0; index < text.length; index++) {
    const char = text[index]!
    if (quoted && char === '"' && text[index + 1] === '"') field += text[++index]
    else if (char === '"') quoted = !quoted
    else if (char === ',' && !quoted) {
      fields.push(field)
      field = ''
    } else field += char
  }
  return [...fields, field]
}
