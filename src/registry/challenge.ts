/** `WWW-Authenticate`: which ways a server takes credentials (RFC 9110, section 11). */

export interface Challenge {
  /** Lower case: `basic`, `bearer`. */
  scheme: string
  /** Names in lower case. */
  parameters: Record<string, string>
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const SPACE = /[ \t]*/y
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y

/**
 * All challenges of a header's value (several header lines joined by `, `, as Node does). What cannot be read ends the
 * list: the challenges before it still count, and a broken header gives an empty list, never an error.
 */
export function parseChallenges(header: string | undefined): Challenge[] {
  const challenges: Challenge[] = []
  if (!header) return challenges
  const reader = new Reader(header)
  let current: Challenge | undefined
  while (true) {
    reader.skip(/[ \t,]*/y)
    const word = reader.take(TOKEN)
    if (!word) return challenges
    reader.skip(SPACE)
    if (current && reader.literal('=')) {
      reader.skip(SPACE)
      const value = reader.literal('"') ? reader.quoted() : reader.take(TOKEN)
      if (value === undefined) return challenges
      current.parameters[word.toLowerCase()] = value
    } else {
      current = { scheme: word.toLowerCase(), parameters: {} }
      challenges.push(current)
      if (!reader.parameterFollows()) reader.take(TOKEN68)
    }
  }
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (!match) return undefined
    this.#at = pattern.lastIndex
    return match[0]
  }

  skip(pattern: RegExp): void {
    this.take(pattern)
  }

  literal(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  parameterFollows(): boolean {
    return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*=[ \t]*["!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(
      this.#text.slice(this.#at),
    )
  }

  /** The rest of a quoted string whose opening quote is taken; `undefined` if it never closes. */
  quoted(): string | undefined {
    let value = ''
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at]
      if (character === '"') {
        this.#at++
        return value
      }
      if (character === '\\') this.#at++
      value += this.#text[this.#at] ?? ''
    }
    return undefined
  }
}
