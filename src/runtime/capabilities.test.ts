import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GantryError } from '../errors.ts'
import {
  allCapabilities,
  capabilityMask,
  defaultCapabilities,
  maskToNames,
  tweakCapabilities,
} from './capabilities.ts'

test('fourteen capabilities unless told otherwise', () => {
  assert.deepEqual(tweakCapabilities(), [...defaultCapabilities])
  assert.equal(capabilityMask(defaultCapabilities), 0xa80425fbn)
})

test('names and numbers are each other’s', () => {
  const every = maskToNames(2n ** 41n - 1n)
  assert.equal(every.length, 41)
  assert.equal(every[21], 'CAP_SYS_ADMIN')
  assert.equal(every[40], 'CAP_CHECKPOINT_RESTORE')
  assert.equal(capabilityMask(every), 2n ** 41n - 1n)
})

test('adding and dropping by name, in any spelling', () => {
  const names = tweakCapabilities(['kill', 'CAP_FOWNER'], ['cap_mknod', 'Chown'])
  assert.ok(!names.includes('CAP_MKNOD') && !names.includes('CAP_CHOWN'))
  assert.equal(names.length, 12, 'what is there already is not there twice')
})

test('ALL on either side', () => {
  assert.deepEqual(
    tweakCapabilities(['ALL'], ['CHOWN']),
    allCapabilities().filter(name => name !== 'CAP_CHOWN'),
  )
  assert.deepEqual(tweakCapabilities(['CHOWN'], ['all']), ['CAP_CHOWN'])
  assert.deepEqual(tweakCapabilities(['ALL'], ['ALL']), [...allCapabilities()])
})

test('what is not a capability gets Docker’s words', () => {
  const refusal = (message: string) => (error: unknown) =>
    error instanceof GantryError && error.kind === 'invalid' && error.message === message
  assert.throws(
    () => tweakCapabilities(['nosuch']),
    refusal('invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
  )
  assert.throws(() => tweakCapabilities([], ['x']), refusal('invalid CapDrop: unknown capability: "CAP_X"'))
  assert.throws(() => tweakCapabilities(['']), refusal('invalid CapAdd: unknown capability: "CAP_"'))
  assert.throws(
    () => tweakCapabilities(['CAP_ALL']),
    refusal('invalid CapAdd: unknown capability: "CAP_ALL"'),
  )
})
