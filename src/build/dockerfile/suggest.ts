/** "Did you mean": the nearest of the known words. */

/** Insertions, deletions and replacements that lead from `a` to `b`. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/**
 * The option nearest to `word`, if it is near enough to be a slip of the finger: at most two edits away.
 * `undefined` when `word` is one of the options or when nothing is near.
 */
export function nearest(word: string, options: readonly string[], caseSensitive = false): string | undefined {
  if (word === '' || word.length > 64) return undefined
  const fold = (text: string) => (caseSensitive ? text : text.toLowerCase())
  let best: string | undefined
  let least = 3
  for (const option of options) {
    const steps = distance(fold(word), fold(option))
    if (steps === 0) return undefined
    if (steps < least) {
      least = steps
      best = option
    }
  }
  return best
}

/** `text` with ` (did you mean X?)` where there is something near. */
export function withSuggestion(text: string, word: string, options: readonly string[]): string {
  const found = nearest(word, options)
  return found === undefined ? text : `${text} (did you mean ${found}?)`
}
