/** Two builds of the same inputs come to the same bytes. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'

const DOCKERFILE = `FROM busybox
COPY . /site
RUN mkdir /made && echo one > /made/one && date > /dev/null
COPY --link b /linked/b
`

test('the same digests with SOURCE_DATE_EPOCH, without the cache', { skip: cannotRunDaemon() }, async () => {
  const daemon = await Daemon.start()
  try {
    const ids: string[] = []
    for (const order of [
      ['a', 'b', 'c'],
      ['c', 'b', 'a'],
    ]) {
      const context = fs.mkdtempSync(path.join(daemon.folder, 'context-'))
      for (const name of order) fs.writeFileSync(path.join(context, name), name)
      fs.writeFileSync(path.join(context, 'Dockerfile'), DOCKERFILE)
      const args = ['--no-cache', '--network=none', '--build-arg', 'SOURCE_DATE_EPOCH=1700000000']
      ids.push(await daemon.ok('build', '-q', ...args, context))
      // File times have seconds in a tar.
      await sleep(1100)
    }
    assert.match(ids[0]!, /^sha256:/)
    assert.equal(ids[0], ids[1])
  } finally {
    await daemon.remove()
  }
})
