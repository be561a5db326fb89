/** A command that could not be started, in the words of Docker's runtime. */
import { launchProblem } from '../../engine/launch-errors.ts'
import { GantryError } from '../../errors.ts'
import type { LaunchError } from '../../runtime/launcher.ts'
import { ExitError } from './exit-error.ts'
import type { StepRequest } from './step.ts'

/** A program that is missing has an exit code, as a shell gives it; why is told where its output would be. */
export function startError(
  error: LaunchError,
  { op, onOutput }: Pick<StepRequest, 'op' | 'onOutput'>,
): Error {
  const problem = launchProblem(error, { command: op.argv[0] ?? '', cwd: op.cwd })
  if (error.op === 'program' || error.op === 'exec') {
    onOutput(2, Buffer.from(`unable to start container process: ${problem}\n`))
    return new ExitError(op.argv, error.code === 'ENOENT' ? 127 : 126, false)
  }
  const command = JSON.stringify(op.argv.join(' '))
  return new GantryError('invalid', `process ${command} did not start: ${problem}`, { cause: error })
}
