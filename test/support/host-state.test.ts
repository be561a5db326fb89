import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { TestRun } from './host-state.ts'

test('a run of tests is told what it left', async t => {
  const run = new TestRun()
  const [parent] = fs.existsSync('/sys/fs/cgroup/unified') ? ['/sys/fs/cgroup/unified'] : ['/sys/fs/cgroup']
  const group = path.join(parent, `gantry-test-${run.env['GANTRY_TEST_RUN']}`)
  const makesGroups = process.getuid?.() === 0 && fs.existsSync(path.join(parent, 'cgroup.procs'))
  if (makesGroups) fs.mkdirSync(group)
  const child = spawn('sleep', ['100'], { env: { ...process.env, ...run.env } })
  await once(child, 'spawn')
  t.after(() => {
    child.kill()
    if (makesGroups) fs.rmdirSync(group)
  })
  fs.writeFileSync(path.join(run.folder, 'forgotten'), '')
  const left = await run.finish(0)
  assert.deepEqual(
    left.map(line => line.split(' ')[0]),
    makesGroups ? ['cgroup', 'file', 'process'] : ['file', 'process'],
  )
  assert.equal(fs.existsSync(run.folder), false)
})

test('a run that left nothing is told so', async () => {
  assert.deepEqual(await new TestRun().finish(), [])
})
