/**
 * `npm test`: lint, types, the direction of imports, then every test under node:test. Arguments narrow it down:
 * `npm test -- src/image` runs only the tests below that path. Ends with the test runner's own summary, and fails with a list
 * of what the tests left on the machine.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { TestRun } from '../test/support/host-state.ts'

const root = path.resolve(import.meta.dirname, '..')
const bin = (name: string) => path.join(root, 'node_modules/.bin', name)
const wanted = process.argv.slice(2)

const checks: [string, string, ...string[]][] = [
  ['lint', bin('biome'), 'check', '--error-on-warnings', '.'],
  ['types', bin('tsc'), '--noEmit'],
  ['imports', process.execPath, path.join(root, 'scripts/check-layers.ts')],
]

for (const [name, command, ...args] of wanted.length > 0 ? [] : checks) {
  console.log(`# ${name}`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) {
    console.error(`# ${name} failed`)
    process.exit(1)
  }
}

const tests = ['src', 'test'].flatMap(folder => testsBelow(path.join(root, folder)))
if (tests.length === 0) {
  console.error(`no tests below ${wanted.join(', ')}`)
  process.exit(1)
}

const run = new TestRun()
const { status } = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    // Tests of the kernel's state share one kernel: one file at a time keeps what each sees its own.
    '--test-concurrency=1',
    '--test-timeout=600000',
    '--test-reporter=spec',
    ...tests,
  ],
  {
    cwd: root,
    stdio: 'inherit',
    // npm, which tests run, would keep compiled modules among the temporary files.
    env: { ...process.env, NODE_COMPILE_CACHE: path.join(root, '.cache/compiled'), ...run.env },
  },
)
const left = await run.finish()
if (left.length > 0) console.error(`# left behind by the tests:\n${left.join('\n')}`)
process.exit(left.length > 0 ? 1 : (status ?? 1))

function testsBelow(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => path.join(folder, name))
    .filter(
      file => wanted.length === 0 || wanted.some(prefix => path.relative(root, file).startsWith(prefix)),
    )
    .sort()
}
