import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseGitUrl } from './git-url.ts'

const cases: [text: string, parts: ReturnType<typeof parseGitUrl>][] = [
  ['https://h/r.git', { url: 'https://h/r.git' }],
  ['https://h/r.git#v1:a/b', { url: 'https://h/r.git', ref: 'v1', subfolder: 'a/b' }],
  ['https://h/r.git#:a', { url: 'https://h/r.git', subfolder: 'a' }],
  ['https://h/r.git?tag=v1&subdir=a/b', { url: 'https://h/r.git', ref: 'refs/tags/v1', subfolder: 'a/b' }],
  ['https://h/r.git?branch=x&commit=abc', { url: 'https://h/r.git', ref: 'refs/heads/x', checksum: 'abc' }],
  [
    'https://h/r.git?ref=x&keep-git-dir=1&submodules=false',
    { url: 'https://h/r.git', ref: 'x', keepGitDir: true, submodules: false },
  ],
  ['https://h/r.git?subdir=a#main', { url: 'https://h/r.git', ref: 'main', subfolder: 'a' }],
  ['git@h:a/r#x', { url: 'git@h:a/r', ref: 'x' }],
  ['github.com/a/b', { url: 'https://github.com/a/b' }],
  ['https://h/file.tar.gz', undefined],
  ['https://h/file?x=r.git', undefined],
]

for (const [text, parts] of cases) {
  test(text, () => assert.deepEqual(parseGitUrl(text), parts))
}

const mistakes: [text: string, message: RegExp][] = [
  ['https://h/r.git?tag=a&branch=b', /conflicting ref in git URL/],
  ['https://h/r.git?tag=a#b', /conflicting ref in git URL/],
  ['https://h/r.git?nope=1', /unexpected query "nope" in git URL/],
  ['https://h/r.git?submodules=maybe', /invalid submodules value/],
  ['https://h/r.git#-x', /invalid git ref: -x/],
]

for (const [text, message] of mistakes) {
  test(text, () => assert.throws(() => parseGitUrl(text), { message }))
}
