/** Permissions as `--chmod` writes them: chmod(1). */
import { invalid } from '../../errors.ts'

/** The sticky bit is the owner's and the group's, as Docker has it. */
const WHO: Record<string, number> = { u: 0o5700, g: 0o3070, o: 0o0007 }

const SYMBOLIC = /^([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)$/

/** Whether {@link changeMode} takes it. */
export const isMode = (text: string): boolean =>
  /^0*[0-7]{1,4}$/.test(text) || text.split(',').every(clause => SYMBOLIC.test(clause))

/** `bits` changed by `text`, octal (`755`) or symbolic (`u+x,go=rX`, `g=u`). */
export function changeMode(bits: number, text: string, isFolder: boolean): number {
  if (/^[0-7]+$/.test(text)) return Number.parseInt(text, 8)
  return text.split(',').reduce((mode, clause) => applyClause(mode, clause, isFolder), bits)
}

function applyClause(mode: number, clause: string, isFolder: boolean): number {
  const match = SYMBOLIC.exec(clause)
  if (!match) throw invalid(`invalid chmod parameter: '${clause}'`)
  const who = match[1] === '' || match[1]!.includes('a') ? 'ugo' : match[1]!
  const mask = [...who].reduce((sum, one) => sum | WHO[one]!, 0)
  let result = mode
  for (const [, operator, letters = ''] of match[2]!.matchAll(/([-+=])([ugo]|[rwxXst]*)/g)) {
    const bits = [...letters].reduce((sum, letter) => sum | bitsOf(letter, result, isFolder), 0) & mask
    if (operator === '+') result |= bits
    else if (operator === '-') result &= ~bits
    else result = (result & ~(mask & 0o777)) | bits
  }
  return result
}

/** Bits of one class of users, for all of them. */
const everyone = (bits: number): number => (bits & 7) * 0o111

function bitsOf(letter: string, mode: number, isFolder: boolean): number {
  switch (letter) {
    case 'u':
      return everyone(mode >> 6)
    case 'g':
      return everyone(mode >> 3)
    case 'o':
      return everyone(mode)
    case 'r':
      return 0o444
    case 'w':
      return 0o222
    case 'x':
      return 0o111
    case 'X':
      return isFolder || (mode & 0o111) !== 0 ? 0o111 : 0
    case 's':
      return 0o6000
    default:
      return 0o1000
  }
}
