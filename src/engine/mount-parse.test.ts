import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  checkMountSpec,
  cleanPath,
  parseBind,
  parseMode,
  parseTmpfsOptions,
  parseVolumesFrom,
} from './mount-parse.ts'
import type { MountSpec } from './types.ts'

const refuses = (work: () => unknown, message: string) =>
  assert.throws(work, (error: Error) => error.message === message || assert.equal(error.message, message))

describe('a -v', () => {
  const plain = { readOnly: false, propagation: '', noCopy: false }

  for (const [text, expected] of [
    ['/data', { ...plain, type: 'volume', target: '/data', mode: '' }],
    ['name:/data/', { ...plain, type: 'volume', source: 'name', target: '/data', mode: '' }],
    ['/a/../b:/data', { ...plain, type: 'bind', source: '/b', target: '/data', mode: '' }],
    [
      'name:/x:ro,z',
      { ...plain, readOnly: true, type: 'volume', source: 'name', target: '/x', mode: 'ro,z' },
    ],
    [
      'name:/x:nocopy',
      { ...plain, noCopy: true, type: 'volume', source: 'name', target: '/x', mode: 'nocopy' },
    ],
    [
      '/a:/x:rw,rslave,cached',
      { ...plain, propagation: 'rslave', type: 'bind', source: '/a', target: '/x', mode: 'rw,rslave,cached' },
    ],
  ] as const) {
    test(`${text} is a ${expected.type}`, () => assert.deepEqual(parseBind(text), expected))
  }

  for (const [text, message] of [
    ['', "invalid volume specification: ''"],
    [':/x', "invalid volume specification: ':/x'"],
    ['name:', "invalid volume specification: 'name:'"],
    ['a:/b:ro:more', "invalid volume specification: 'a:/b:ro:more'"],
    ['/a:/b:odd', 'invalid mode: odd'],
    ['/a:/b:ro,rw', 'invalid mode: ro,rw'],
    ['/a:/b:z,Z', 'invalid mode: z,Z'],
    ['/a:/b:nocopy', 'invalid mode: nocopy'],
    [
      'name:/b:rslave',
      `invalid volume specification: 'name:/b:rslave': invalid mount config for type "volume": field BindOptions must not be specified`,
    ],
    [
      'name:b',
      `invalid volume specification: 'name:b': invalid mount config for type "volume": invalid mount path: 'b' mount path must be absolute`,
    ],
    [
      '/a:/',
      `invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`,
    ],
  ] as const) {
    test(`${JSON.stringify(text)} is refused`, () => refuses(() => parseBind(text), message))
  }
})

test('two words of a kind exclude each other in a mode, words of different kinds do not', () => {
  assert.deepEqual(parseMode('ro,Z,shared,delegated', 'bind'), {
    readOnly: true,
    propagation: 'shared',
    noCopy: false,
  })
  for (const mode of ['private,shared', 'cached,default', 'ro,ro']) {
    refuses(() => parseMode(mode, 'bind'), `invalid mode: ${mode}`)
  }
})

describe('a --mount', () => {
  const spec = (type: string, more: Partial<MountSpec> = {}): MountSpec =>
    ({ type, target: '/x', ...more }) as MountSpec
  const of = (type: string, text: string) => `invalid mount config for type "${type}": ${text}`

  for (const good of [
    spec('volume'),
    spec('volume', { source: 'name', readOnly: true, volume: { subpath: 'a/b' } }),
    spec('bind', { source: '/a', bind: { propagation: 'rshared' } }),
    spec('bind', { source: '/a', readOnly: true, bind: { readOnlyForceRecursive: true } }),
    spec('tmpfs', { tmpfs: { sizeBytes: 0, mode: 0o700 } }),
    spec('image', { source: 'busybox', image: { subpath: 'bin' } }),
  ]) {
    test(`${JSON.stringify(good)} is fine`, () => checkMountSpec(good))
  }

  for (const [bad, message] of [
    [spec('npipe'), of('npipe', 'mount type unknown')],
    [spec('volume', { target: '' }), of('volume', 'field Target must not be empty')],
    [spec('tmpfs', { target: 'x' }), of('tmpfs', "invalid mount path: 'x' mount path must be absolute")],
    [spec('tmpfs', { target: '/a/..' }), of('tmpfs', "invalid specification: destination can't be '/'")],
    [spec('bind'), of('bind', 'field Source must not be empty')],
    [spec('bind', { source: 'a' }), of('bind', "invalid mount path: 'a' mount path must be absolute")],
    [
      spec('bind', { source: '/a', bind: { propagation: 'odd' } }),
      of('bind', 'invalid propagation mode: odd'),
    ],
    [
      spec('bind', { source: '/a', bind: { readOnlyForceRecursive: true } }),
      of('bind', 'mount source must be read-only for ReadOnlyForceRecursive'),
    ],
    [
      spec('bind', {
        source: '/a',
        readOnly: true,
        bind: { readOnlyForceRecursive: true, readOnlyNonRecursive: true },
      }),
      of('bind', 'ReadOnlyForceRecursive and ReadOnlyNonRecursive cannot be set at the same time'),
    ],
    [
      spec('volume', { readOnly: true }),
      of('volume', 'must not set ReadOnly mode when using anonymous volumes'),
    ],
    [
      spec('volume', { volume: { subpath: 'a' } }),
      of('volume', 'must not set Subpath when using anonymous volumes'),
    ],
    [
      spec('volume', { source: 'n', volume: { subpath: '../a' } }),
      of('volume', 'subpath must be a relative path within the volume'),
    ],
    [
      spec('image', { source: 'i', image: { subpath: '/a' } }),
      of('image', 'subpath must be a relative path within the volume'),
    ],
    [spec('image'), of('image', 'field Source must not be empty')],
    [spec('tmpfs', { source: 'a' }), of('tmpfs', 'field Source must not be specified')],
    [spec('tmpfs', { tmpfs: { sizeBytes: -1 } }), of('tmpfs', 'negative size is not allowed')],
    [spec('volume', { bind: {} }), 'BindOptions must not be specified on mount type "volume"'],
    [spec('bind', { source: '/a', volume: {} }), 'VolumeOptions must not be specified on mount type "bind"'],
    [spec('volume', { tmpfs: {} }), 'TmpfsOptions must not be specified on mount type "volume"'],
    [spec('tmpfs', { image: {} }), 'ImageOptions must not be specified on mount type "tmpfs"'],
  ] as const) {
    test(`${JSON.stringify(bad)} is refused`, () => refuses(() => checkMountSpec(bad), message))
  }
})

test('options of a --tmpfs are those that Docker lets through', () => {
  const options = ['rw', 'noexec', 'size=2m', 'mode=1700', 'uid=33']
  assert.deepEqual(parseTmpfsOptions(options.join(',')), options)
  assert.deepEqual(parseTmpfsOptions(''), [])
  refuses(() => parseTmpfsOptions('odd'), 'invalid tmpfs option "odd"')
  refuses(() => parseTmpfsOptions('size'), 'invalid tmpfs option "size"')
  refuses(() => parseTmpfsOptions('noexec=1'), 'invalid tmpfs option "noexec"')
})

test('a --volumes-from names a container and a mode', () => {
  assert.deepEqual(parseVolumesFrom('box'), { container: 'box', readOnly: false, mode: '' })
  assert.deepEqual(parseVolumesFrom('box:ro'), { container: 'box', readOnly: true, mode: 'ro' })
  refuses(() => parseVolumesFrom(':ro'), 'volumes-from specification cannot be an empty string')
  refuses(() => parseVolumesFrom('box:odd'), 'invalid mode: odd')
})

test('a path is cleaned as Go cleans it', () => {
  for (const [text, clean] of [
    ['/a/b/', '/a/b'],
    ['//a//b/./c/..', '/a/b'],
    ['/', '/'],
    ['a/..', '.'],
  ]) {
    assert.equal(cleanPath(text!), clean)
  }
})
