/**
 * A container from inside, compared with what was recorded in a container of the real Docker (test/isolation/record.ts):
 * capabilities, filters, mounts, cgroups, devices, open files, and the answer to every system call.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { allCapabilities, buildSpec, detectCgroups } from '../src/runtime/index.ts'
import { type Case, cases } from './isolation/cases.ts'
import { type Findings, findings, script, syscallScript } from './isolation/probe.ts'
import { cannotLaunch, Sandbox } from './isolation/sandbox.ts'

/** Everything was recorded on one kind of machine; on another a difference would say nothing. */
function cannotCompare(): string | false {
  if (os.arch() !== 'x64') return 'recorded on x86-64'
  return detectCgroups().version === 2 ? 'recorded with cgroup v1' : cannotLaunch()
}

describe('a container looks from inside as Docker has it', { skip: cannotCompare() }, () => {
  let sandbox: Sandbox
  let probe: string
  before(() => {
    sandbox = new Sandbox()
    probe = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-probe-'))
    fs.chmodSync(probe, 0o755)
    const source = path.join(import.meta.dirname, 'isolation/syscalls.c')
    execFileSync('cc', ['-O1', '-static', '-o', path.join(probe, 'syscalls'), source])
  })
  after(() => {
    sandbox?.remove()
    fs.rmSync(probe, { recursive: true, force: true })
  })

  for (const given of cases) {
    test(given.name, async context => {
      const recorded = recording(given.name)
      const everything = recording('privileged').capabilities
      if (recorded.capabilities > 20 && everything !== allCapabilities().length) {
        return context.skip('this process has other capabilities than the recorded one')
      }
      const id = randomBytes(32).toString('hex')
      const { output } = await sandbox.run(specOf(given, id, probe))
      const found = findings(output, id)
      for (const section of Object.keys(recorded.findings)) {
        const sorted = (lines: string[] = []) => (section === 'mounts' ? [...lines].sort() : lines)
        assert.deepEqual(sorted(found[section]), sorted(recorded.findings[section]), section)
      }
    })
  }
})

function specOf({ request, syscalls }: Case, id: string, probe: string) {
  return buildSpec({
    id,
    hostname: id.slice(0, 12),
    ...request,
    mounts: [
      ...(request.mounts ?? []),
      { type: 'bind', source: probe, destination: '/probe', readonly: true },
    ],
    process: {
      argv: ['sh', '-c', `${script}${syscalls ? syscallScript : ''}`],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      ...request.process,
    },
  })
}

function recording(name: string): { findings: Findings; capabilities: number } {
  const file = path.join(import.meta.dirname, `recordings/isolation/${name}.json`)
  const { findings, spec } = JSON.parse(fs.readFileSync(file, 'utf8'))
  return { findings, capabilities: spec.process.capabilities.bounding.length }
}
