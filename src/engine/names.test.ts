import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkVolumeName } from '../volume/names.ts'
import { generateName, isValidName } from './names.ts'

test('a name begins with a letter or a digit and has at least two characters', () => {
  for (const name of ['ab', 'a-b_c.d', '0x', 'A.']) assert.equal(isValidName(name), true, name)
  for (const name of ['', 'a', '-a', '.a', '_a', 'a b', 'a/b', 'é1', 'a:b', 'a\n']) {
    assert.equal(isValidName(name), false, name)
  }
})

test('a generated name is a good one that nobody has', () => {
  const taken = new Set<string>()
  for (let i = 0; i < 2000; i++) {
    const name = generateName(each => taken.has(each))
    assert.ok(isValidName(name) && !taken.has(name), name)
    taken.add(name)
  }
})

test('it goes on with digits when the words are used up', () => {
  assert.match(
    generateName(name => !/\d$/.test(name)),
    /^[a-z]+_[a-z]+\d+$/,
  )
})

test('names of volumes are refused in Docker’s words', () => {
  checkVolumeName('a1')
  assert.throws(() => checkVolumeName('a'), {
    message: 'create a: volume name is too short, names should be at least two alphanumeric characters',
  })
  assert.throws(() => checkVolumeName('a/b'), {
    message:
      'create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
  })
})
