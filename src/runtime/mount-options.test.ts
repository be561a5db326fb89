import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMountOptions } from './mount-options.ts'

const ro = 1
const nosuid = 2
const nodev = 4
const noexec = 8

test('words become attributes, the rest is the file system’s', () => {
  const options = parseMountOptions(['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=64m', 'defaults'])
  assert.equal(options.set, nosuid | noexec | nodev)
  assert.deepEqual(options.data, ['mode=1777', 'size=64m'])
})

test('the last word counts', () => {
  const options = parseMountOptions(['ro', 'noexec', 'rw', 'exec'])
  assert.deepEqual([options.set, options.clear], [0, ro | noexec])
  assert.equal(parseMountOptions(['rw', 'ro']).clear, 0)
})

test('binds, recursive or not, and read-only all the way down', () => {
  const options = parseMountOptions(['rbind', 'rro', 'rprivate'])
  assert.deepEqual([options.bind, options.recursive, options.deepSet, options.set], [true, true, ro, 0])
  assert.equal(options.propagation, (1 << 18) | 0x4000)
  assert.equal(parseMountOptions(['bind', 'slave']).propagation, 1 << 19)
})

test('one way of keeping access times excludes the others', () => {
  const options = parseMountOptions(['noatime', 'strictatime'])
  assert.deepEqual([options.set, options.clear], [0x20, 0x70])
})
