import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Router } from './router.ts'

const router = new Router<string>()
router.add('GET', '/images/json', 'list')
router.add('GET', '/images/{name...}/json', 'inspect')
router.add('DELETE', '/images/{name...}', 'remove')
router.add('GET', '/exec/{id}/json', 'exec')

test('names may have slashes in the middle of a path', () => {
  assert.deepEqual(router.find('GET', '/images/a/b/c:1/json'), {
    handler: 'inspect',
    params: { name: 'a/b/c:1' },
  })
  assert.deepEqual(router.find('DELETE', '/images/a/b'), { handler: 'remove', params: { name: 'a/b' } })
})

test('a path without parameters is found first', () => {
  assert.equal(router.find('GET', '/images/json')?.handler, 'list')
})

test('one segment stays one segment', () => {
  assert.equal(router.find('GET', '/exec/a/b/json'), undefined)
  assert.equal(router.find('POST', '/exec/a/json'), undefined)
  assert.equal(router.find('GET', '/exec//json'), undefined)
})
