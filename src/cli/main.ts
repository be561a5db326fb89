/** The command line. */
import { flushCompileCache } from 'node:module'
import { Command, CommanderError } from 'commander'
import { messageOf } from '../errors.ts'

const VERSION_TEXT = 'Docker version 0.1.0 (Gantry)'

/** Only the command that is asked for is loaded. */
const commands: Record<string, { summary: string; load: () => Promise<Command> }> = {
  daemon: {
    summary: "Run the engine: serves Docker's API",
    load: async () => {
      const { daemonCommand } = await import('./daemon/command.ts')
      const command = daemonCommand(async flags => (await import('./daemon/run.ts')).runDaemon(flags))
      return command.version(VERSION_TEXT, '-v, --version', 'Print version information and quit')
    },
  },
  registry: {
    summary: 'Run a registry and look after its storage',
    load: async () => (await import('./registry.ts')).registryCommand(),
  },
  debug: {
    summary: 'Look inside: launch plans',
    load: async () => (await import('./debug.ts')).debugCommand(),
  },
}

async function main(argv: string[]): Promise<void> {
  const program = new Command('gantry')
    .description("A container engine that speaks Docker's API")
    .version(VERSION_TEXT, '-v, --version', 'Print version information and quit')
    .exitOverride()
    .configureOutput({ outputError: () => {} })

  for (const [name, { summary, load }] of Object.entries(commands)) {
    if (argv[0] === name) program.addCommand(inherit(await load(), program))
    else program.command(name).description(summary)
  }
  await program.parseAsync(argv, { from: 'user' })
}

function inherit(command: Command, parent: Command): Command {
  return command.copyInheritedSettings(parent).exitOverride()
}

// When all that a start loads is loaded. A daemon is often ended by a signal that leaves no time for this.
setTimeout(flushCompileCache, 3000).unref()
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
