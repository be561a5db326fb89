import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type CacheConfig, parseConfig, parseInline } from './config.ts'
import { ImportedCache } from './imported.ts'

const digest = (digit: string) => `sha256:${digit.repeat(64)}` as const
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))
const layer = {
  blob: digest('a'),
  parent: -1,
  annotations: { mediaType: 'layer', diffID: digest('b'), size: 3, createdAt: '2024-01-02T03:04:05Z' },
}

const imported = (config: Required<CacheConfig>) => {
  const cache = new ImportedCache({
    content: undefined as never,
    lease: { add() {}, release() {} },
    maxBytes: 1,
    signal: new AbortController().signal,
  })
  cache.add({ name: 'test', fetch: async () => {} }, config)
  return cache
}

describe('a cache document', () => {
  test('tells of steps, their layers, and what was found in them', () => {
    const config = parseConfig(
      bytes({
        layers: [layer],
        records: [
          { digest: digest('1') },
          { digest: digest('2') },
          {
            digest: digest('3'),
            inputs: [[{ link: 0 }, { link: 1, selector: '/out' }]],
            layers: [{ layer: 0 }],
          },
        ],
      }),
    )
    const cache = imported(config)
    assert.equal(cache.find(digest('3'))?.layer?.config.blob, digest('a'))
    assert.equal(cache.find(digest('3'))?.createdAt, Date.parse('2024-01-02T03:04:05Z'))
    assert.equal(cache.find(digest('1'))?.layer, undefined)
    assert.equal(cache.find(digest('9')), undefined)
    assert.equal(cache.selection(digest('2'), '/out'), '1'.repeat(64))
    assert.equal(cache.selection(digest('2'), '/other'), undefined)
  })

  test('in an image there are records alone', () => {
    const { layers, records } = parseInline(bytes([{ digest: digest('1'), layers: [{}] }]), [layer])
    assert.deepEqual(layers, [layer])
    assert.deepEqual(records, [{ digest: digest('1'), inputs: [], layers: [{ layer: 0 }] }])
    assert.throws(() => parseInline(bytes({ records: [] }), [layer]), /invalid build cache/)
  })

  test('as BuildKit leaves out zeros, they are zeros', () => {
    const { records } = parseConfig(
      bytes({
        layers: [layer],
        records: [{ digest: digest('1'), inputs: [[{}]], layers: [{}], chains: [{ layers: [0] }] }],
      }),
    )
    assert.deepEqual(records[0], { digest: digest('1'), inputs: [[{ link: 0 }]], layers: [{ layer: 0 }] })
  })

  for (const [what, document] of Object.entries({
    'no JSON': Buffer.from('{'),
    'no object': bytes([]),
    'records that are no list': bytes({ records: {} }),
    'a record without digest': bytes({ records: [{}] }),
    'a digest that is none': bytes({ records: [{ digest: 'sha256:../../x' }] }),
    'an input that leads nowhere': bytes({ records: [{ digest: digest('1'), inputs: [[{ link: 1 }]] }] }),
    'an input that is negative': bytes({ records: [{ digest: digest('1'), inputs: [[{ link: -1 }]] }] }),
    'a result without layer': bytes({ records: [{ digest: digest('1'), layers: [{ layer: 0 }] }] }),
    'a layer without size': bytes({
      layers: [{ ...layer, annotations: { ...layer.annotations, size: -1 } }],
    }),
    'too many records': bytes({ records: Array.from({ length: 100_001 }, () => 0) }),
  })) {
    test(`is refused with ${what}`, () => {
      assert.throws(() => parseConfig(document), /invalid build cache/)
    })
  }
})
