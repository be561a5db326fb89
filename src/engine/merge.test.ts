import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { commandOf, mergeConfig } from './merge.ts'
import type { ContainerConfig } from './types.ts'

const own = (more: Partial<ContainerConfig> = {}): ContainerConfig => ({ image: 'i', ...more })

describe('what is executed', () => {
  const image = { Entrypoint: ['/entry'], Cmd: ['serve', '--all'] }
  for (const [title, config, expected] of [
    ['the image has its say', {}, ['/entry', 'serve', '--all']],
    ['a command goes to the image’s entrypoint', { cmd: ['help'] }, ['/entry', 'help']],
    ['an entrypoint makes the image’s command meaningless', { entrypoint: ['sh'] }, ['sh']],
    ['both are one’s own', { entrypoint: ['sh'], cmd: ['-c', 'x'] }, ['sh', '-c', 'x']],
    ['an empty entrypoint says none at all', { entrypoint: [''], cmd: ['ls'] }, ['ls']],
  ] as [string, Partial<ContainerConfig>, string[]][]) {
    test(title, () => {
      const { path, args } = commandOf(mergeConfig(own(config), image))
      assert.deepEqual([path, ...args], expected)
    })
  }

  test('there has to be something', () => {
    assert.throws(() => commandOf(mergeConfig(own())), { message: 'no command specified' })
  })
})

test('variables of the image stay but for those that are named', () => {
  const { env } = mergeConfig(own({ env: ['A=1', 'B'] }), { Env: ['A=0', 'B=0', 'C=a=b'] })
  assert.deepEqual(env, ['A=1', 'B', 'C=a=b'])
})

test('ports and volumes are added up, labels of one’s own win', () => {
  const merged = mergeConfig(own({ exposedPorts: ['80/tcp'], volumes: ['/a'], labels: { a: '1' } }), {
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Volumes: { '/b': {} },
    Labels: { a: '0', b: '0' },
  })
  assert.deepEqual(merged.exposedPorts, ['80/tcp', '53/udp'])
  assert.deepEqual(merged.volumes, ['/a', '/b'])
  assert.deepEqual(merged.labels, { a: '1', b: '0' })
})

test('single values are one’s own, else the image’s', () => {
  const image = { User: 'u', WorkingDir: '/w/', StopSignal: 'SIGUSR1', StopTimeout: 9, Shell: ['ash'] }
  const inherited = mergeConfig(own(), image)
  assert.deepEqual(
    [inherited.user, inherited.workingDir, inherited.stopSignal, inherited.stopTimeout, inherited.shell],
    ['u', '/w', 'SIGUSR1', 9, ['ash']],
  )
  const mine = mergeConfig(own({ user: 'me', workingDir: '/a/../b', stopSignal: '9', stopTimeout: 0 }), image)
  assert.deepEqual([mine.user, mine.workingDir, mine.stopSignal, mine.stopTimeout], ['me', '/b', '9', 0])
})

test('a health check is completed from the image’s', () => {
  const image = { Healthcheck: { Test: ['CMD', 'up'], Interval: 5, Timeout: 6, Retries: 7 } }
  const { healthcheck } = mergeConfig(own({ healthcheck: { interval: 50, retries: 0 } }), image)
  assert.deepEqual(
    [healthcheck?.test, healthcheck?.interval, healthcheck?.timeout, healthcheck?.retries],
    [['CMD', 'up'], 50, 6, 7],
  )
  assert.equal(mergeConfig(own()).healthcheck, undefined)
})
