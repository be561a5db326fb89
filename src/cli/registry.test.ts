import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { Passwords } from '../registry/server/passwords.ts'
import { folder } from '../registry/testing/kit.ts'
import { duration, parseAddress, passwordLine, size } from './registry.ts'

test('addresses, durations and sizes as people write them', () => {
  assert.deepEqual(parseAddress(':5000'), { host: undefined, port: 5000 })
  assert.deepEqual(parseAddress('5000'), { host: undefined, port: 5000 })
  assert.deepEqual(parseAddress('[::1]:443'), { host: '::1', port: 443 })
  assert.deepEqual(parseAddress('registry.example:443'), { host: 'registry.example', port: 443 })
  for (const wrong of ['', 'host', 'a:b:1', ':70000', ':']) assert.throws(() => parseAddress(wrong), /--addr/)
  assert.deepEqual(['90s', '1h30m', '7d', '0', '250ms'].map(duration), [90e3, 5400e3, 604800e3, 0, 250])
  for (const wrong of ['', '5', 'x', '5 m', '-1s']) assert.throws(() => duration(wrong), /not a duration/)
  assert.deepEqual(['512', '4m', '1G', '2kb'].map(size), [512, 4 << 20, 2 ** 30, 2048])
  for (const wrong of ['', 'm', '4q', '-1']) assert.throws(() => size(wrong), /not a size/)
})

test('the line of a user lets that user in', async t => {
  const file = `${folder(t)}/htpasswd`
  fs.writeFileSync(file, await passwordLine('ann', 'right word\nof two lines', 4))
  const passwords = new Passwords(file)
  assert.equal(await passwords.check('ann', 'right word'), true)
  assert.equal(await passwords.check('ann', 'right'), false)
  await assert.rejects(passwordLine('a:b', 'x'), /not a name of a user/)
  await assert.rejects(passwordLine('ann', '\n'), /the password is empty/)
  await assert.rejects(passwordLine('ann', 'ä'.repeat(37)), /may have 72 bytes/)
})
