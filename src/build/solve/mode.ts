/** Permissions as `--chmod` writes them: chmod(1). */
import { invalid } from '../../errors.ts'

const WHO: Record<string, number> = { u: 0o4700, g: 0o2070, o: 0o1007 }

/** `bits` changed by `text`, octal (`755`) or symbolic (`u+x,go=rX`). */
export function changeMode(bits: number, text: string, isFolder: boolean): number {
  if (/^[0-7]+$/.test(text)) return Number.parseInt(text, 8)
  return text.split(',').reduce((mode, clause) => applyClause(mode, clause, isFolder), bits)
}

function applyClause(mode: number, clause: string, isFolder: boolean): number {
  const match = /^([ugoa]*)((?:[-+=][rwxXst]*)+)$/.exec(clause)
  if (!match) throw invalid(`invalid chmod parameter: '${clause}'`)
  const who = match[1] === '' || match[1]!.includes('a') ? 'ugo' : match[1]!
  const mask = [...who].reduce((sum, one) => sum | WHO[one]!, 0)
  let result = mode
  for (const [, operator, letters = ''] of match[2]!.matchAll(/([-+=])([rwxXst]*)/g)) {
    const bits = [...letters].reduce((sum, letter) => sum | bitsOf(letter, result, isFolder), 0) & mask
    if (operator === '+') result |= bits
    else if (operator === '-') result &= ~bits
    else result = (result & ~(mask & 0o777)) | bits
  }
  return result
}

function bitsOf(letter: string, mode: number, isFolder: boolean): number {
  switch (letter) {
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
