/** `docker build --call`: what a Dockerfile offers, as the real Docker shows it. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, test } from 'node:test'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'

const DOCKERFILE = `# TOP is a global arg
ARG TOP=1
ARG UNUSED
# base is the base stage
FROM busybox AS base
# FOO the foo
ARG FOO=bar
ARG TOP
RUN --mount=type=secret,id=s1,required echo $FOO
RUN --mount=type=cache,target=/c --mount=type=ssh,id=k1 true
FROM base AS second
ARG BAZ
# QUX many words here
ARG QUX=a$TOP NEXT="x y"
RUN --mount=type=secret,id=s2 --mount=type=ssh true
FROM busybox AS third
ARG ONLY3=1
COPY --from=base / /
# last thing described
FROM second
`

const TARGETS = `
TARGET    DESCRIPTION
base      is the base stage
second
third
(default)
`

const OUTLINE = `
TARGET: second

BUILD ARG VALUE DESCRIPTION
TOP       1     is a global arg
FOO       bar   the foo
BAZ       given
QUX       a1    many words here
NEXT      x y

SECRET REQUIRED
s1     true
s2

SSH     REQUIRED
k1
default
`

const skip = cannotRunDaemon()
let daemon: Daemon
let context: string

before(async () => {
  if (skip) return
  daemon = await Daemon.start({ image: false })
  context = path.join(daemon.folder, 'context')
  fs.mkdirSync(context)
  fs.writeFileSync(path.join(context, 'Dockerfile'), DOCKERFILE)
})

after(async () => daemon?.remove())

/** Without the width of columns. */
const words = (text: string): string =>
  text
    .trim()
    .split('\n')
    .map(line => line.trim().replace(/ +/g, ' '))
    .join('\n')

const call = (...args: string[]) => daemon.ok('build', '--progress=quiet', ...args, context)

test('targets', { skip }, async () => {
  assert.equal(words(await call('--call=targets')), words(TARGETS))
})

test('what a target can be given', { skip }, async () => {
  const shown = await call('--call=outline', '--target=second', '--build-arg', 'BAZ=given')
  assert.equal(words(shown), words(OUTLINE))
})

test('the same as JSON', { skip }, async () => {
  const outline = JSON.parse(await call('--call=outline,format=json', '--build-arg', 'TOP=9'))
  const top = outline.args.find(({ name }: { name: string }) => name === 'TOP')
  assert.equal(top.value, '9')
  assert.equal(top.location.ranges[0].start.line, 8)
  assert.equal(Buffer.from(outline.sources[0], 'base64').toString(), DOCKERFILE)
})

test('a request that nobody knows is refused', { skip }, async () => {
  const { stderr, code } = await daemon.docker('build', '--call=nonsense', context)
  assert.notEqual(code, 0)
  assert.match(stderr, /unsupported request frontend\.nonsense/)
})
