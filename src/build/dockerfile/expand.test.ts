// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Dockerfile variables
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expandWord, splitWords } from './expand.ts'

const env: Record<string, string> = { A: 'hello', EMPTY: '', PATH: '/a/b/c.tar.gz', SP: 'x  y' }
const lookup = (name: string) => env[name]

const table: [string, string | RegExp][] = [
  ['$A', 'hello'],
  ['${A}', 'hello'],
  ['\\$A', '$A'],
  ["'$A'", '$A'],
  ['"$A"', 'hello'],
  ['"\\$A \\x"', '$A \\x'],
  ['$UNSET', ''],
  ['${UNSET:-d}', 'd'],
  ['${EMPTY:-d}', 'd'],
  ['${EMPTY-d}', ''],
  ['${UNSET-d}', 'd'],
  ['${A:+y}', 'y'],
  ['${EMPTY:+y}', ''],
  ['${EMPTY+y}', 'y'],
  ['${UNSET:-${A}}', 'hello'],
  ['${UNSET?msg}', /UNSET: msg/],
  ['${EMPTY:?}', /EMPTY: is not allowed to be empty/],
  ['${PATH#*/}', 'a/b/c.tar.gz'],
  ['${PATH##*/}', 'c.tar.gz'],
  ['${PATH%.*}', '/a/b/c.tar'],
  ['${PATH%%.*}', '/a/b/c'],
  ['${A/l/L}', 'heLlo'],
  ['${A//l/L}', 'heLLo'],
  ['${A/x/}', 'hello'],
  ['${A/l\\/o/}', 'hello'],
  ['$', '$'],
  ['a$', 'a$'],
  ['$1x', 'x'],
  ['${}', /bad substitution/],
  ['${A', /unsupported modifier|missing right curly/],
  ['${A:x}', /unsupported modifier \(:x\) in substitution/],
  ["'open", /matching single-quote/],
  ['"open', /matching double-quote/],
  ['한글$A', '한글hello'],
]

for (const [text, expected] of table) {
  test(`${text} is ${expected}`, () => {
    if (typeof expected === 'string') assert.equal(expandWord(text, lookup), expected)
    else assert.throws(() => expandWord(text, lookup), expected)
  })
}

test('unquoted values are split, quoted ones are not', () => {
  assert.deepEqual(splitWords('a $SP "$SP" b\\ c', lookup), ['a', 'x', 'y', 'x  y', 'b c'])
})
