/** A stage that is made anew may come to something else: whoever takes from it must not keep what it was before. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, test } from 'node:test'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'

/** Copied, built upon, and looked into. */
const DOCKERFILE = `FROM busybox AS first
RUN cat /proc/sys/kernel/random/uuid > /id
FROM first AS child
RUN cp /id /built-upon
FROM busybox
COPY --from=first /id /out/copied
COPY --from=child /built-upon /out/
RUN --mount=from=first,target=/first cp /first/id /out/looked-into
FROM scratch
COPY --from=2 /out /
`

const skip = cannotRunDaemon()
let daemon: Daemon

before(async () => {
  if (!skip) daemon = await Daemon.start()
})

after(async () => daemon?.remove())

test('a stage without cache is new to all that take from it', { skip }, async () => {
  const context = path.join(daemon.folder, 'context')
  fs.mkdirSync(context)
  fs.writeFileSync(path.join(context, 'Dockerfile'), DOCKERFILE)
  const build = async (...args: string[]): Promise<string> => {
    const out = fs.mkdtempSync(path.join(daemon.folder, 'out-'))
    await daemon.ok('build', '-q', '-o', out, ...args, context)
    const ids = ['copied', 'built-upon', 'looked-into'].map(name =>
      fs.readFileSync(path.join(out, name), 'utf8'),
    )
    assert.equal(new Set(ids).size, 1, ids.join())
    return ids[0]!
  }
  const before = await build()
  assert.equal(await build(), before)
  const anew = await build('--no-cache-filter=first')
  assert.notEqual(anew, before)
  assert.equal(await build(), anew)
  await daemon.stop()
  await daemon.start()
  assert.equal(await build(), anew)
})
