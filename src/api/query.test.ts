import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Query } from './query.ts'

test('everything is true but a few words', () => {
  const query = new Query('a=1&b=true&c=0&d=false&e=&f=None&g=yes')
  const on = [...'abcdefg'].filter(name => query.flag(name))
  assert.deepEqual(on, ['a', 'b', 'g'])
  assert.equal(query.flag('missing', true), true)
})

test('filters come in two forms', () => {
  const of = (filters: string) => new Query(`filters=${encodeURIComponent(filters)}`).filters()
  assert.deepEqual(of('{"label":["a","b=c"]}'), { label: ['a', 'b=c'] })
  assert.deepEqual(of('{"label":{"a":true,"b":false}}'), { label: ['a'] })
  assert.deepEqual(new Query('').filters(), {})
  for (const bad of ['x', '[]', '{"a":1}', '{"a":[1]}']) {
    assert.throws(() => of(bad), { kind: 'invalid', message: 'invalid filter' })
  }
})

test('times are exact to the nanosecond', () => {
  const of = (text: string) => new Query(`since=${text}`).nanoseconds('since')
  assert.equal(of('1700000000'), 1_700_000_000_000_000_000n)
  assert.equal(of('1700000000.000000001'), 1_700_000_000_000_000_001n)
  assert.equal(of('1.5'), 1_500_000_000n)
  assert.throws(() => of('x'), { message: 'strconv.ParseInt: parsing "x": invalid syntax' })
})
