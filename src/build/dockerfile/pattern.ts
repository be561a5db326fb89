/**
 * Patterns as state machines. A text is read once, whatever the pattern: a regular expression with many stars would try all ways to share
 * the text among them, and whoever writes a Dockerfile could keep the daemon busy for ever.
 */

/** One character, `many` of them, or any number of whole folders with their slashes. */
export type Token = { fits(char: string): boolean; many?: true } | 'folders'

export const ANY: Token = { fits: () => true }
export const ANY_MANY: Token = { fits: () => true, many: true }
export const IN_NAME: Token = { fits: char => char !== '/' }
export const IN_NAME_MANY: Token = { fits: char => char !== '/', many: true }

export const exactly = (wanted: string): Token => ({ fits: char => char === wanted })

export class Pattern {
  readonly #tokens: readonly Token[]

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  /** Whether all of the text is what the pattern says. */
  test(text: string): boolean {
    const chars = [...text]
    return this.prefix(chars, 0, true) === chars.length
  }

  /** Length of the longest, or shortest, piece of `chars` that fits and begins at `start`; `undefined` for none. */
  prefix(chars: readonly string[], start: number, longest: boolean): number | undefined {
    const end = 2 * this.#tokens.length
    let states = new Set<number>()
    this.#enter(0, states)
    let found: number | undefined
    for (let at = start; ; at++) {
      if (states.has(end)) {
        found = at - start
        if (!longest) return found
      }
      if (at === chars.length || states.size === 0) return found
      const next = new Set<number>()
      for (const state of states) this.#step(state, chars[at]!, next)
      states = next
    }
  }

  /** Even states stand before the token `state / 2`, odd ones inside of its folders. */
  #step(state: number, char: string, next: Set<number>): void {
    const token = this.#tokens[state >> 1]
    if (token === undefined) return
    if (token === 'folders') {
      next.add(state | 1)
      if (char === '/') this.#enter((state | 1) + 1, next)
    } else if (token.fits(char)) this.#enter(token.many ? state : state + 2, next)
  }

  /** What may be nothing is passed by as well. */
  #enter(state: number, states: Set<number>): void {
    states.add(state)
    const token = this.#tokens[state >> 1]
    if (token === 'folders' || token?.many) this.#enter(state + 2, states)
  }
}
