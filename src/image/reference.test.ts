import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  canonical,
  familiar,
  parseImageName,
  parseReference,
  parseTarget,
  withDefaultTag,
} from './reference.ts'

const HEX = 'a'.repeat(64)

test('fills in what people leave out', () => {
  const names: Record<string, string> = {
    busybox: 'docker.io/library/busybox:latest',
    'busybox:1': 'docker.io/library/busybox:1',
    'a/b': 'docker.io/a/b:latest',
    'index.docker.io/busybox': 'docker.io/library/busybox:latest',
    'docker.io/library/busybox': 'docker.io/library/busybox:latest',
    'localhost/x': 'localhost/x:latest',
    'host:5000/a/b/c:t': 'host:5000/a/b/c:t',
    '[::1]:5000/x': '[::1]:5000/x:latest',
    'UP/foo': 'UP/foo:latest',
    [`busybox@sha256:${HEX}`]: `docker.io/library/busybox@sha256:${HEX}`,
    [`h.io/a:t@sha256:${HEX}`]: `h.io/a:t@sha256:${HEX}`,
  }
  for (const [typed, full] of Object.entries(names)) {
    assert.equal(canonical(withDefaultTag(parseReference(typed))), full)
  }
})

test('shows the short form', () => {
  const names: Record<string, string> = {
    'docker.io/library/busybox:1': 'busybox:1',
    'docker.io/a/b': 'a/b',
    'docker.io/library/a/b': 'library/a/b',
    'localhost:5000/x': 'localhost:5000/x',
  }
  for (const [typed, short] of Object.entries(names)) assert.equal(familiar(parseReference(typed)), short)
})

test("refuses in Docker's words", () => {
  const refusals: Record<string, string> = {
    Foo: 'invalid reference format: repository name (library/Foo) must be lowercase',
    'localhost/Foo': 'invalid reference format: repository name (Foo) must be lowercase',
    'foo:': 'invalid reference format',
    'foo:bar:baz': 'invalid reference format',
    'foo@sha256:abc': 'invalid reference format',
    'foo/': 'invalid reference format',
    'http://x/y': 'invalid reference format',
    '': 'invalid reference format',
    'foo:.x': 'invalid reference format',
    a__b___c: 'invalid reference format',
    [HEX]: `invalid repository name (${HEX}), cannot specify 64-byte hexadecimal strings`,
    ['x'.repeat(248)]: 'repository name must not be more than 255 characters',
  }
  for (const [typed, message] of Object.entries(refusals)) {
    assert.throws(() => parseReference(typed), { message, kind: 'invalid' }, typed)
  }
})

test('an id is not a name', () => {
  assert.deepEqual(parseImageName(HEX), { kind: 'digest', digest: `sha256:${HEX}` })
  assert.deepEqual(parseImageName(`sha256:${HEX}`), { kind: 'digest', digest: `sha256:${HEX}` })
})

test('a path may have 255 characters, whatever the domain', () => {
  assert.equal(parseReference(`registry.example:5000/${'x'.repeat(255)}`).path.length, 255)
  assert.throws(() => parseReference(`h.io/${'x'.repeat(256)}`), /not be more than 255/)
})

test('a name to be given: a tag in the place of another, never a digest', () => {
  assert.equal(familiar(parseTarget('a/b')), 'a/b:latest')
  assert.equal(familiar(parseTarget('a/b:1', '2')), 'a/b:2')
  assert.throws(() => parseTarget('a', '-x'), { message: 'invalid tag format' })
  assert.throws(() => parseTarget(HEX, '1'), /cannot specify 64-byte hexadecimal strings/)
  assert.throws(() => parseTarget(`a@sha256:${HEX}`, '-x'), { message: 'cannot import digest reference' })
})
