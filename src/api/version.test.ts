import assert from 'node:assert/strict'
import { test } from 'node:test'
import { negotiate, splitVersion } from './version.ts'

test('a version is taken off the path', () => {
  assert.deepEqual(splitVersion('/v1.41/containers/json'), { path: '/containers/json', version: '1.41' })
  assert.deepEqual(splitVersion('/containers/json'), { path: '/containers/json' })
  assert.deepEqual(splitVersion('/version'), { path: '/version' })
  assert.deepEqual(splitVersion('/v1.x/info'), { path: '/v1.x/info' })
})

test('a version that is not spoken is refused as Docker does', () => {
  assert.equal(negotiate('1.24'), 24)
  assert.equal(negotiate(undefined), 55)
  assert.throws(() => negotiate('1.23'), {
    message:
      'client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  })
  for (const version of ['1.56', '2.0']) {
    assert.throws(() => negotiate(version), {
      message: `client version ${version} is too new. Maximum supported API version is 1.55`,
    })
  }
})
