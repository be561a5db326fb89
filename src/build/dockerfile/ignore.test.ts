import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IgnoreMatcher, parseIgnore } from './ignore.ts'

const table: [patterns: string, path: string, ignored: boolean][] = [
  ['a', 'a', true],
  ['a', 'a/b/c', true],
  ['a', 'b/a', false],
  ['**/a', 'b/c/a', true],
  ['**/a', 'a', true],
  ['**', 'anything/at/all', true],
  ['a/**', 'a/b', true],
  ['a/**', 'a', false],
  ['*.md', 'README.md', true],
  ['*.md', 'docs/README.md', false],
  ['**/*.md', 'docs/x/README.md', true],
  ['a/**/b', 'a/b', true],
  ['a/**/b', 'a/x/y/b', true],
  ['a/**/b', 'a/xb', false],
  ['a?c', 'abc', true],
  ['a?c', 'a/c', false],
  ['a[0-9]', 'a5', true],
  ['a[^0-9]', 'a5', false],
  ['a\\*', 'a*', true],
  ['a\\*', 'ab', false],
  ['*\n!keep', 'keep', false],
  ['*\n!keep', 'other', true],
  ['*\n!keep\nkeep/x', 'keep/x', true],
  ['dir\n!dir/in', 'dir/in', false],
  ['dir\n!dir/in', 'dir/out', true],
  ['/abs', 'abs', true],
  ['./rel/', 'rel/x', true],
  ['# comment\n\nx', 'x', true],
  [' spaced ', 'spaced', true],
  ['a.b', 'aXb', false],
  ['a+b(c)', 'a+b(c)', true],
  ['\uFEFFbom', 'bom', true],
]

for (const [patterns, path, ignored] of table) {
  test(`${JSON.stringify(patterns)} ${ignored ? 'takes out' : 'leaves'} ${path}`, () => {
    assert.equal(new IgnoreMatcher(parseIgnore(patterns)).ignores(path), ignored)
  })
}

test('a lone ! is refused', () => {
  assert.throws(() => new IgnoreMatcher(['!']), /illegal exclusion pattern/)
})
