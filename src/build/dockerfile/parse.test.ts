import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GantryError } from '../../errors.ts'
import { DockerfileError, excerpt } from './errors.ts'
import { IgnoreMatcher, parseIgnore } from './ignore.ts'
import { parseDockerfile } from './parse.ts'

const only = (text: string) => parseDockerfile(`FROM x\n${text}`).stages[0]!.instructions

test('stages, flags and heredocs come out whole', () => {
  const file = parseDockerfile(
    '\uFEFF# syntax=docker/dockerfile:1\r\nARG V=1\r\nFROM --platform=linux/amd64 a:$V AS One\r\nRUN --mount=type=cache,target=/x <<A <<-B\r\necho\r\nA\r\n\tb\r\n\tB\r\nCOPY --from=one a \\\r\n # note\r\n  b /c/\r\n',
  )
  assert.equal(file.directives.syntax?.value, 'docker/dockerfile:1')
  assert.equal(file.metaArgs[0]?.args[0]?.value, '1')
  const [stage] = file.stages
  assert.equal(stage?.from.stageName, 'one')
  const [run, copy] = stage!.instructions
  assert.ok(run?.name === 'RUN' && copy?.name === 'COPY')
  assert.deepEqual(
    run.heredocs.map(doc => doc.content),
    ['echo\r\n', '\tb\r\n'],
  )
  assert.deepEqual(copy.sources, ['a', 'b'])
  assert.deepEqual(copy.range, { start: 9, end: 11 })
})

test('a comment inside a continued line is skipped, a # in it is not', () => {
  const [run] = only('RUN a \\\n# no\n  # nor this\n b # yes')
  assert.ok(run?.name === 'RUN')
  assert.equal(run.command.words[0], 'a  b # yes')
})

test('bad JSON is a shell line', () => {
  const [cmd] = only('CMD ["a", b]')
  assert.ok(cmd?.name === 'CMD' && cmd.command.shell)
})

const mistakes: [string, string][] = [
  ['FROM x\nFOO bar', 'dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)'],
  ['FROM x\nCOPY --fro=x a b', 'dockerfile parse error on line 2: unknown flag: --fro (did you mean from?)'],
  ['FROM', 'dockerfile parse error on line 1: FROM requires either one or three arguments'],
  ['RUN x', 'no build stage in current context'],
  ['FROM x\nRUN <<E\nabc', 'unterminated heredoc'],
  ['# escape=x\nFROM x', "invalid escape token 'x' does not match ` or \\"],
  ['FROM x\nENV a', 'ENV must have two arguments'],
  ['FROM x\nSHELL a', 'dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form'],
  ['', 'file with no instructions'],
]

for (const [text, message] of mistakes) {
  test(message, () => {
    assert.throws(
      () => parseDockerfile(text),
      (error: unknown) => error instanceof DockerfileError && error.message === message,
    )
  })
}

test('an excerpt marks the lines', () => {
  assert.equal(
    excerpt('Dockerfile', 'FROM busybox\nFOO bar\n', { start: 2, end: 2 }),
    'Dockerfile:2\n--------------------\n   1 |     FROM busybox\n   2 | >>> FOO bar\n   3 |     \n--------------------',
  )
})

/** Small and fixed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const PIECES = [
  ...['FROM ', 'RUN ', 'COPY ', 'ENV ', 'ARG ', 'LABEL ', 'ONBUILD ', 'HEALTHCHECK ', 'EXPOSE ', 'SHELL '],
  ...['--from=', '--mount=', '<<EOF', '<<-', 'EOF', '\n', '\r\n', '\\\n', '\\', '`', '# escape=`\n', '#'],
  ...[
    '"',
    "'",
    '$',
    '${',
    '}',
    ':-',
    '//',
    '%',
    '[',
    ']',
    '["a"]',
    ',',
    '=',
    ' ',
    '\t',
    '\0',
    '\uFEFF',
    '**',
    '!',
  ],
  ...['a', 'B', '1', '/', '.', '..', '한', '\u{1F600}', '\uD800'],
]

test('no text makes the parser or the matcher crash or hang', () => {
  const next = random(6)
  for (let round = 0; round < 20_000; round++) {
    let text = round % 2 ? 'FROM a\n' : ''
    for (let length = next() * 30; length > 0; length--) text += PIECES[Math.floor(next() * PIECES.length)]
    for (const attempt of [
      () => parseDockerfile(text),
      () => new IgnoreMatcher(parseIgnore(text)).ignores('a/b/c/1'),
    ]) {
      try {
        attempt()
      } catch (error) {
        assert.ok(error instanceof GantryError, `${JSON.stringify(text)}: ${error}`)
      }
    }
  }
})
