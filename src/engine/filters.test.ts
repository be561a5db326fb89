import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  booleanOf,
  checkFilters,
  matchesLabels,
  parseDuration,
  splitOnce,
  untilOf,
  valuesOf,
} from './filters.ts'

test('a key that is not known is refused', () => {
  checkFilters({ label: ['a'] }, ['label', 'until'])
  assert.throws(() => checkFilters({ odd: ['a'] }, ['label']), { message: "invalid filter 'odd'" })
})

test('a filter without values lets everything pass', () => {
  assert.equal(valuesOf({}, 'name'), undefined)
  assert.equal(valuesOf({ name: [] }, 'name'), undefined)
  assert.deepEqual(valuesOf({ name: ['a', 'b'] }, 'name'), ['a', 'b'])
})

test('a filter of yes and no', () => {
  for (const [values, expected] of [
    [undefined, undefined],
    [['true'], true],
    [['1', 'true'], true],
    [['0'], false],
    [['false'], false],
  ] as const) {
    assert.equal(booleanOf(values ? { dangling: [...values] } : {}, 'dangling'), expected)
  }
  assert.throws(() => booleanOf({ dangling: ['odd'] }, 'dangling'), {
    message: "invalid filter 'dangling=[odd]'",
  })
  assert.throws(() => booleanOf({ dangling: ['true', 'false'] }, 'dangling'), {
    message: "invalid filter 'dangling=[true false]'",
  })
})

describe('labels', () => {
  const labels = { a: '1', b: '', c: 'x=y' }
  for (const [filters, passes] of [
    [{}, true],
    [{ label: ['a'] }, true],
    [{ label: ['a=1', 'b'] }, true],
    [{ label: ['a=2'] }, false],
    [{ label: ['a', 'd'] }, false],
    [{ label: ['c=x=y'] }, true],
    [{ label: ['b='] }, true],
    [{ 'label!': ['d'] }, true],
    [{ 'label!': ['a=2'] }, true],
    [{ 'label!': ['a'] }, false],
    [{ label: ['a'], 'label!': ['b'] }, false],
  ] as [Record<string, string[]>, boolean][]) {
    test(`${JSON.stringify(filters)}: ${passes}`, () => assert.equal(matchesLabels(filters, labels), passes))
  }
  test('nothing has none', () => assert.equal(matchesLabels({ label: ['a'] }, null), false))
})

test('a text is split at the first separator only', () => {
  assert.deepEqual(splitOnce('a=b=c', '='), ['a', 'b=c'])
  assert.deepEqual(splitOnce('a', '='), ['a', undefined])
  assert.deepEqual(splitOnce('=a', '='), ['', 'a'])
})

test('durations are those of Go', () => {
  for (const [text, milliseconds] of [
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['1.5s', 1500],
    ['2000us', 2],
    ['10', undefined],
    ['1d', undefined],
    ['', undefined],
    ['-1s', undefined],
  ] as const) {
    assert.equal(parseDuration(text), milliseconds, text)
  }
})

test('until is a time, seconds since 1970, or a duration back from now', () => {
  const now = Date.parse('2024-05-01T12:00:00Z')
  for (const [text, expected] of [
    ['2h', now - 7_200_000],
    ['1700000000', 1_700_000_000_000],
    ['1700000000.5', 1_700_000_000_500],
    ['2024-01-02T03:04:05Z', Date.parse('2024-01-02T03:04:05Z')],
  ] as const) {
    assert.equal(untilOf({ until: [text] }, now), expected, text)
  }
  assert.equal(untilOf({}, now), undefined)
  assert.throws(() => untilOf({ until: ['1h', '2h'] }, now), {
    message: 'more than one until filter specified',
  })
  assert.throws(() => untilOf({ until: ['odd'] }, now), { message: 'invalid until filter value: odd' })
})
