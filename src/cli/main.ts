/** The command line. */
import { Command, CommanderError } from 'commander'
import { messageOf } from '../errors.ts'

const VERSION = '0.1.0'

async function main(argv: string[]): Promise<void> {
  const program = new Command('gantry')
    .description("A container engine that speaks Docker's API")
    .version(`Docker version ${VERSION} (Gantry)`, '-v, --version', 'Print version information and quit')
    .exitOverride()
    .configureOutput({ outputError: () => {} })

  const { daemonCommand } = await import('./daemon/command.ts')
  const daemon = daemonCommand(async flags => (await import('./daemon/run.ts')).runDaemon(flags))
  daemon.version(`Docker version ${VERSION} (Gantry)`, '-v, --version', 'Print version information and quit')
  program.addCommand(inherit(daemon, program))

  if (argv[0] === 'debug') program.addCommand(inherit((await import('./debug.ts')).debugCommand(), program))
  else program.command('debug').description('Look inside: launch plans')

  await program.parseAsync(argv, { from: 'user' })
}

function inherit(command: Command, parent: Command): Command {
  return command.copyInheritedSettings(parent).exitOverride()
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  process.exitCode = report(error)
}

/** What dockerd says of a wrong flag, and its exit codes. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0
    if (error.code === 'commander.help') return 1
    const unknown = /unknown option '([^']+)'/.exec(error.message)?.[1]
    const text = unknown ? `unknown flag: ${unknown}` : error.message.replace(/^error: /, '')
    process.stderr.write(`${text}\nSee 'gantry --help'.\n`)
    return 125
  }
  process.stderr.write(`${messageOf(error)}\n`)
  if (process.env['GANTRY_TRACE'] && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return 1
}
