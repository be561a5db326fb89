import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyChanges } from './change.ts'

test('each instruction changes its part of the config', () => {
  const config = applyChanges({ Env: ['A=1'], WorkingDir: '/w' }, [
    'CMD ["a", "b"]',
    'entrypoint run this',
    'ENV A=2 B="two words"',
    'ENV OLD a b c',
    'EXPOSE 80 53/udp',
    'LABEL k=v "x y"=z',
    'ONBUILD RUN true',
    'USER 5:6',
    'VOLUME /a /b',
    'VOLUME ["/c d"]',
    'WORKDIR sub/../dir',
    'STOPSIGNAL SIGINT',
    'HEALTHCHECK --interval=1m30s --retries=3 CMD curl x',
  ])
  assert.deepEqual(config, {
    Env: ['A=2', 'B=two words', 'OLD=a b c'],
    WorkingDir: '/w/dir',
    Cmd: ['a', 'b'],
    Entrypoint: ['/bin/sh', '-c', 'run this'],
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Labels: { k: 'v', 'x y': 'z' },
    OnBuild: ['RUN true'],
    User: '5:6',
    Volumes: { '/a': {}, '/b': {}, '/c d': {} },
    StopSignal: 'SIGINT',
    Healthcheck: { Test: ['CMD-SHELL', 'curl x'], Interval: 90e9, Retries: 3 },
  })
})

test('refuses what is no change', () => {
  assert.throws(() => applyChanges({}, ['RUN true']), /RUN is not a valid change command/)
  assert.throws(() => applyChanges({}, ['FOO x']), /FOO is not a valid change command/)
  assert.throws(() => applyChanges({}, ['ENV a']), /ENV must have two arguments/)
  assert.throws(() => applyChanges({}, ['USER']), /USER requires exactly one argument/)
})
