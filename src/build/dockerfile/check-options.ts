/** `# check=skip=A,B;experimental=C;error=true`: which rules are looked at, and what becomes of warnings. */
import { invalid, messageOf } from '../../errors.ts'
import type { RuleName } from './check-rules.ts'
import { isExperimental } from './check-rules.ts'
import type { Dockerfile } from './parse.ts'

export interface CheckOptions {
  isChecked(rule: RuleName): boolean
  /** Warnings fail the build. */
  isError: boolean
}

/** What the Dockerfile says; where the build argument says something, that counts alone. @throws GantryError `invalid` */
export function checkOptions(file: Dockerfile, args: Record<string, string>): CheckOptions {
  const given = args['BUILDKIT_DOCKERFILE_CHECK']
  const where = given === undefined ? 'check options' : 'build-arg:BUILDKIT_DOCKERFILE_CHECK'
  try {
    return parse(given ?? file.directives.check?.value ?? '')
  } catch (error) {
    throw invalid(`failed to parse ${where}: ${messageOf(error)}`, error)
  }
}

function parse(text: string): CheckOptions {
  const names = { skip: new Set<string>(), experimental: new Set<string>() }
  let isError = false
  for (const part of text.trim() === '' ? [] : text.trim().split(';')) {
    const equals = part.indexOf('=')
    const key = (equals < 0 ? part : part.slice(0, equals)).trim()
    const value = part.slice(equals + 1).trim()
    if (equals >= 0 && (key === 'skip' || key === 'experimental')) {
      for (const name of value.split(',')) names[key].add(name.trim())
    } else if (equals >= 0 && key === 'error') isError = bool(value, part)
    else throw invalid(`invalid check option ${JSON.stringify(key)}`)
  }
  const has = (set: Set<string>, rule: RuleName) => set.has(rule) || set.has('all')
  return {
    isChecked: rule => !has(names.skip, rule) && (!isExperimental(rule) || has(names.experimental, rule)),
    isError,
  }
}

/** As Go reads a boolean. */
function bool(value: string, part: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false
  const problem = `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`
  throw invalid(`failed to parse check option ${JSON.stringify(part)}: ${problem}`)
}
