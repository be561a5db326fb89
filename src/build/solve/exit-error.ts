/** A step's command that ended with something else than 0. */
import { GantryError } from '../../errors.ts'

export class ExitError extends GantryError {
  readonly argv: readonly string[]
  readonly exitCode: number

  constructor(argv: readonly string[], exitCode: number, oomKilled: boolean) {
    const how = oomKilled ? 'cannot allocate memory' : `exit code: ${exitCode}`
    super('invalid', `process ${JSON.stringify(argv.join(' '))} did not complete successfully: ${how}`)
    this.name = 'ExitError'
    this.argv = argv
    this.exitCode = exitCode
  }
}
