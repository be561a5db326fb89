/** `--security-opt`, parsed. */
import { internal, invalid } from '../errors.ts'
import type { SeccompProfile } from '../runtime/request.ts'

export interface SecurityOptions {
  noNewPrivileges?: boolean
  seccomp?: 'default' | 'unconfined' | { json: string }
  /** `systempaths=unconfined`: nothing of /proc and /sys is hidden. */
  unmask: boolean
  apparmor?: string
  labels: string[]
}

/** Raises in Docker's words. */
export function parseSecurityOptions(options: readonly string[]): SecurityOptions {
  const parsed: SecurityOptions = { unmask: false, labels: [] }
  for (const option of options) {
    if (option === 'no-new-privileges') {
      parsed.noNewPrivileges = true
      continue
    }
    if (option === 'disable') {
      parsed.labels.push('disable')
      continue
    }
    if (option === 'systempaths=unconfined') {
      parsed.unmask = true
      continue
    }
    const separator = option.includes('=') ? '=' : ':'
    const at = option.indexOf(separator)
    if (at < 0) throw internal(`invalid --security-opt 1: ${JSON.stringify(option)}`)
    const [key, value] = [option.slice(0, at), option.slice(at + 1)]
    switch (key) {
      case 'label':
        parsed.labels.push(value)
        break
      case 'apparmor':
        parsed.apparmor = value
        break
      case 'seccomp':
        parsed.seccomp =
          value === 'unconfined' ? 'unconfined' : value === 'builtin' ? 'default' : { json: value }
        break
      case 'no-new-privileges':
        if (!/^(true|false|1|0|t|f)$/i.test(value)) fail(option)
        parsed.noNewPrivileges = /^(true|1|t)$/i.test(value)
        break
      case 'writable-cgroups':
        if (!/^(true|false|1|0|t|f)$/i.test(value)) fail(option)
        break
      default:
        fail(option)
    }
  }
  return parsed
}

function fail(option: string): never {
  throw internal(`invalid --security-opt 2: ${JSON.stringify(option)}`)
}

/** A profile in Docker's format. Raises invalid, at start as Docker does. */
export function parseSeccompProfile(json: string): SeccompProfile {
  try {
    return JSON.parse(json) as SeccompProfile
  } catch (error) {
    const text = json.trim() === '' || /end of JSON|Unexpected end|property name/.test(String(error))
    throw invalid(
      `Decoding seccomp profile failed: ${text ? 'unexpected end of JSON input' : (error as Error).message}`,
    )
  }
}
