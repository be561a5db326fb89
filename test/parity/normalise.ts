/** What may differ between two answers that are the same: ids, times, sizes. */

const rules: [RegExp, string][] = [
  [/\b[0-9a-f]{64}\b/g, '<id>'],
  [/\b(?=[0-9a-f]*\d)[0-9a-f]{12}\b/g, '<short id>'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, '<time>'],
  [/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} [A-Z]+/g, '<time>'],
  [
    /\b(Less than a second|About a minute|About an hour|\d+ (second|minute|hour|day|week|month|year)s?)( ago)?\b/g,
    '<while>$3',
  ],
  [/\b\d+(\.\d+)?\s?(B|kB|MB|GB|KiB|MiB|GiB)\b/g, '<size>'],
  [/[\w./-]*\/volumes\//g, '<root>/volumes/'],
  [/\bfrom 0\.01 to \d+\.\d\d, as there are only \d+ CPUs/g, 'from 0.01 to <n>, as there are only <n> CPUs'],
  [/\b1[67]\d{8}\b/g, '<seconds>'],
]

/** Tables are padded to the longest id or time, which are gone: runs of spaces become two. */
export function normalise(text: string): string {
  let result = text
  for (const [pattern, replacement] of rules) result = result.replace(pattern, replacement)
  return result.replace(/ {2,}/g, '  ').replace(/[ \t]+$/gm, '')
}
