/** Real answers of a running daemon against the published schema. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { checkAnswer } from './schema.ts'

describe('answers keep to the schema', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  before(async () => {
    daemon = await Daemon.start()
    await daemon.ok(
      'run',
      '-d',
      '--network',
      'none',
      '--name',
      'runs',
      '-l',
      'a=b',
      'busybox',
      'sleep',
      '1000',
    )
    await daemon.ok('create', '--network', 'none', '--name', 'waits', '-v', '/data', '-p', '80', 'busybox')
  })
  after(() => daemon?.remove())

  async function holds(method: string, path: string, url = path, body?: unknown) {
    const answer = await daemon.api(method, url, body)
    assert.deepEqual(checkAnswer(method, path, answer.status, answer.body), [], JSON.stringify(answer.body))
    return answer
  }

  const reads: [path: string, url?: string][] = [
    ['/version'],
    ['/info'],
    ['/containers/json', '/containers/json?all=1&size=1'],
    ['/containers/{id}/json', '/containers/runs/json?size=1'],
    ['/containers/{id}/json', '/containers/waits/json'],
    ['/containers/{id}/top', '/containers/runs/top'],
    ['/containers/{id}/changes', '/containers/runs/changes'],
    ['/containers/{id}/stats', '/containers/runs/stats?stream=0&one-shot=1'],
    ['/images/json'],
    ['/images/{name}/json', '/images/busybox/json'],
    ['/images/{name}/history', '/images/busybox/history'],
    ['/networks'],
    ['/volumes'],
    ['/system/df'],
    ['/containers/{id}/json', '/containers/nothing/json'],
    ['/images/{name}/json', '/images/nothing/json'],
  ]
  for (const [path, url] of reads) {
    test(url ?? path, async () => {
      await holds('GET', path, url)
    })
  }

  test('create, exec, wait', async () => {
    const created = await holds('POST', '/containers/create', '/containers/create', {
      Image: 'busybox',
      Cmd: ['true'],
      HostConfig: { NetworkMode: 'none' },
    })
    const { Id } = created.body
    await daemon.api('POST', `/containers/${Id}/start`)
    await holds('POST', '/containers/{id}/wait', `/containers/${Id}/wait`)
    const exec = await holds('POST', '/containers/{id}/exec', '/containers/runs/exec', { Cmd: ['true'] })
    await holds('GET', '/exec/{id}/json', `/exec/${exec.body.Id}/json`)
  })
})
