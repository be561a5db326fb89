/** `gantry debug`: what the engine does inside, made visible. */
import * as fs from 'node:fs'
import { Command } from 'commander'
import type { RuntimeRequest } from '../runtime/request.ts'
import type { RuntimeSpec } from '../runtime/spec.ts'

interface PlanFlags {
  spec?: string
  rootfs: string
  tty?: boolean
  privileged?: boolean
  printSpec?: boolean
}

export function debugCommand(): Command {
  const debug = new Command('debug').description('Look inside: launch plans').action(() => debug.help())
  debug
    .command('plan')
    .description('Print the launch plan of a container, one operation a line; nothing is run')
    .argument('[command...]', 'what the container runs', ['sh'])
    .option('--spec <file>', 'an OCI config.json instead of the default one; "-" is standard input')
    .option('--rootfs <folder>', 'its root file system', '/')
    .option('-t, --tty', 'with a terminal')
    .option('--privileged', 'with every privilege')
    .option('--print-spec', 'print the OCI config.json instead of the plan')
    .action(printPlan)
  return debug
}

async function printPlan(command: string[], flags: PlanFlags): Promise<void> {
  const { buildSpec, compilePlan, openCgroup } = await import('../runtime/index.ts')
  const { formatPlan } = await import('../runtime/plan.ts')
  const request: RuntimeRequest = {
    id: '0'.repeat(64),
    hostname: '0'.repeat(12),
    process: {
      argv: command,
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      tty: flags.tty ?? false,
    },
    privileged: flags.privileged ?? false,
  }
  const spec = flags.spec === undefined ? buildSpec(request) : readSpec(flags.spec)
  if (flags.printSpec) {
    process.stdout.write(`${JSON.stringify(spec, null, 2)}\n`)
    return
  }
  const rootfs = { type: 'path', path: flags.rootfs } as const
  const compiled = compilePlan(spec, {
    rootfs,
    cgroup: openCgroup(spec.linux.cgroupsPath),
    describeOnly: true,
  })
  process.stdout.write(formatPlan(compiled.plan))
  compiled.release()
}

const readSpec = (file: string) => JSON.parse(fs.readFileSync(file === '-' ? 0 : file, 'utf8')) as RuntimeSpec
