import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { resolveUser } from './user.ts'

const passwd = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin

# nobody reads this
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
12:x:500:501::/home/twelve:
`
const group = `root:x:0:
daemon:x:1:www-data
audio:x:29:www-data,daemon
www-data:x:33:
staff:x:50:
`
const resolve = (user: string, groupAdd: string[] = []) => resolveUser({ user, groupAdd, passwd, group })
const ids = (user: string, groupAdd?: string[]) => {
  const { uid, gid, additionalGids } = resolve(user, groupAdd)
  return [uid, gid, additionalGids]
}

describe('who a container runs as', () => {
  test('root, unless told', () => {
    assert.deepEqual(resolveUser({}), { uid: 0, gid: 0, additionalGids: [0], home: '/' })
    assert.deepEqual(resolve(''), { uid: 0, gid: 0, additionalGids: [0], home: '/root' })
    assert.deepEqual(ids('root:'), [0, 0, [0]])
  })

  test('a name brings its group, its memberships and its home', () => {
    assert.deepEqual(resolve('www-data'), { uid: 33, gid: 33, additionalGids: [33, 1, 29], home: '/var/www' })
    assert.deepEqual(ids('1'), [1, 1, [1, 29]], 'and so does its number')
  })

  test('a number is always an id, also where it is somebody’s name', () => {
    assert.deepEqual(ids('12'), [12, 0, [0]])
    assert.equal(resolve('777').home, '/')
    assert.equal(resolve('500').home, '/home/twelve')
  })

  test('a group that is said takes the place of all others', () => {
    assert.deepEqual(ids('www-data:staff'), [33, 50, [50]])
    assert.deepEqual(ids('12345:12'), [12345, 12, [12]])
    assert.deepEqual(ids(':5'), [0, 5, [5]])
    assert.deepEqual(ids('1000:'), [1000, 0, [0]])
  })

  test('added groups come to it, each once', () => {
    assert.deepEqual(ids('www-data:www-data', ['audio', '33', '77']), [33, 33, [33, 29, 77]])
  })
})

test('who is not there is refused in Docker’s words', () => {
  const range = { message: 'uids and gids must be in range 0-2147483647' }
  assert.throws(() => resolve('nosuch'), {
    message: 'unable to find user nosuch: no matching entries in passwd file',
  })
  assert.throws(() => resolve('a b'), {
    message: 'unable to find user a b: no matching entries in passwd file',
  })
  assert.throws(() => resolve('root:nosuch'), {
    message: 'unable to find group nosuch: no matching entries in group file',
  })
  assert.throws(() => resolve('', ['nosuch']), {
    message: 'unable to find group nosuch: no matching entries in group file',
  })
  for (const user of ['99999999999', '-1', '2147483648', '0:99999999999', '0:-1']) {
    assert.throws(() => resolve(user), range, user)
  }
  assert.throws(() => resolve('', ['99999999999']), range)
})
