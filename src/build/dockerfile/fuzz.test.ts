/** Nonsense for the parser and the matchers: whatever they are given, they answer or refuse, and soon. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { randomFrom } from '../../../test/support/random.ts'
import { GantryError } from '../../errors.ts'
import { checkOptions } from './check-options.ts'
import { checkDockerfile } from './checks.ts'
import { expandWord, splitWords } from './expand.ts'
import { trimPrefix, trimSuffix } from './glob.ts'
import { compile, IgnoreMatcher, parseIgnore, wildcard } from './ignore.ts'
import { parseDockerfile } from './parse.ts'

const ROUNDS = Number(process.env['GANTRY_FUZZ_ROUNDS'] ?? 4000)
const seed = Number(process.env['GANTRY_FUZZ_SEED'] ?? 1)
const random = randomFrom(seed)
const pick = <T>(list: readonly T[]): T => list[random(0, list.length - 1)]!

const PIECES = [
  ...'FROM RUN COPY ADD ENV ARG LABEL EXPOSE VOLUME USER WORKDIR HEALTHCHECK SHELL STOPSIGNAL ONBUILD MAINTAINER CMD ENTRYPOINT'.split(
    ' ',
  ),
  ...[
    'AS',
    'scratch',
    'x:1',
    '--from=0',
    '--chown=1:2',
    '--mount=type=bind,target=/x',
    '--interval=5s',
    '--link',
    '--',
  ],
  ...['<<EOF', '<<-"A"', "<<'B'", 'EOF', 'A', 'B', '3<<EOF', '# escape=`', '# syntax=a', '# check=skip=all'],
  ...['$', '${', '}', '${a:-', '${a:+', '${a#', '${a%%', '${a//', '/', ':', '?', '"', "'", '\\', '`', '='],
  ...[
    '[',
    ']',
    '["a"',
    ',',
    '"b"]',
    '{',
    '*',
    '**',
    '?',
    '!',
    '..',
    '.',
    '-',
    '\t',
    ' ',
    '\n',
    '\r\n',
    '\\\n',
    '\u0000',
  ],
  ...['é', '\u{1f600}', '\ud800', '\uFEFF', '9', 'a', 'name', '0x', '99999999999999999999'],
]

function nonsense(most: number): string {
  let text = ''
  for (let left = random(0, most); left > 0; left--) text += pick(PIECES) + pick(['', ' ', '', '\n'])
  return text
}

const check = (text: string) => {
  const file = parseDockerfile(text)
  return checkDockerfile(file, checkOptions(file, {}))
}

/** Runs `work`; a refusal is an answer. */
function survives(input: string, work: () => unknown): void {
  try {
    work()
  } catch (error) {
    if (error instanceof GantryError) return
    throw new Error(`${error} for ${JSON.stringify(input)} (seed ${seed})`, { cause: error })
  }
}

describe('nonsense', () => {
  test('is parsed or refused', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const text = pick(['', 'FROM x\n', 'ARG a\nFROM $a\n']) + nonsense(40)
      survives(text, () => check(text))
    }
  })

  test('is expanded or refused', () => {
    const lookup = (name: string) => (name.length % 2 === 1 ? 'a/b*c?d' : undefined)
    for (let round = 0; round < ROUNDS; round++) {
      const text = nonsense(12)
      const escapeChar = pick(['\\', '`'])
      survives(text, () => expandWord(text, lookup, { escapeChar }))
      survives(text, () => splitWords(text, lookup, { escapeChar, keepUnset: true }))
    }
  })

  test('is matched or refused', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const patterns = nonsense(10)
      const file = nonsense(6).replace(/^\/+/, '')
      survives(patterns, () => new IgnoreMatcher(parseIgnore(patterns)).ignores(file))
      survives(patterns, () => wildcard(patterns).test(file))
    }
  })

  test('long runs of the same are no work', () => {
    const run = 200_000
    for (const text of [
      `FROM x\nRUN a${' '.repeat(run)}b`,
      `FROM x${'\r'.repeat(run)}y\n`,
      `# a=x${' '.repeat(run)}y\nFROM x\n`,
      `FROM x\nENV a=${' '.repeat(run)}b`,
      `FROM x\nRUN a${'\\\n'.repeat(run)}`,
      `FROM x\nENV a=${'$'.repeat(run)}`,
      `${'# x\n'.repeat(run)}FROM x`,
    ]) {
      survives(text.slice(0, 40), () => check(text))
    }
    survives('star', () => expandWord(`\${a//*b/y}`, () => 'x'.repeat(run)))
  })

  test('deep nesting is refused, not followed for ever', () => {
    survives('deep', () => expandWord('${a:-'.repeat(100_000), () => undefined))
    survives('heredocs', () => parseDockerfile(`FROM x\nRUN ${'<<A '.repeat(10_000)}\n`))
  })
})

describe('a pattern of many stars is no work', () => {
  const text = 'a'.repeat(200)
  const stars = '*a'.repeat(60)

  test('in .dockerignore and COPY', () => {
    for (const pattern of [
      `${stars}b`,
      `${'**/a'.repeat(30)}/b`,
      `${'[a-z]*'.repeat(40)}0`,
      `${'?*'.repeat(60)}b`,
    ]) {
      assert.equal(new IgnoreMatcher([pattern]).ignores(text), false)
      assert.equal(wildcard(pattern).test(text), false)
      assert.equal(wildcard(pattern.replace(/.$/, '')).test(text), !pattern.startsWith('**/'))
    }
  })

  test('in substitutions', () => {
    assert.equal(trimPrefix(text, `${stars}b`, true), text)
    assert.equal(trimSuffix(text, `b${stars}`, false), text)
    assert.equal(trimPrefix(text, stars, true), '')
    assert.equal(
      expandWord(`\${v//${stars}b/x}`, () => text),
      text,
    )
  })

  test('both ways to match say the same', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const pattern = Array.from({ length: random(1, 6) }, () =>
        pick(['*', '**', '**/', '?', 'a', 'b', '/', '[ab]']),
      ).join('')
      const file = Array.from({ length: random(1, 8) }, () => pick(['a', 'b', '/', 'c'])).join('')
      assert.equal(compile(pattern, -1).test(file), compile(pattern, 99).test(file), `${pattern} ${file}`)
    }
  })
})
