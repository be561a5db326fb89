/** The scenarios against a private daemon, compared with what a real Docker answered. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { folders, loadAreas, Runner } from './run.ts'
import type { Recording } from './scenario.ts'

const skip = cannotRunDaemon()
const areas = await loadAreas((process.env['PARITY'] ?? '').split(',').filter(Boolean))

describe('answers as Docker does', { skip }, () => {
  let daemon: Daemon
  let runner: Runner

  before(async () => {
    daemon = await Daemon.start({ image: false })
    runner = new Runner(daemon.host)
    await runner.prepare()
  })
  after(async () => {
    await runner?.finish()
    await daemon?.remove()
  })

  for (const area of areas) {
    const file = path.join(folders.recordings, `${area.name}.json`)
    const recording = JSON.parse(fs.readFileSync(file, 'utf8')) as Recording
    describe(area.name, () => {
      for (const scenario of area.scenarios) {
        test(scenario.name, async () => {
          const expected = recording[scenario.name]
          assert.ok(expected, 'not recorded yet')
          assert.deepEqual(await runner.run(area, scenario), expected)
        })
      }
    })
  }
})
