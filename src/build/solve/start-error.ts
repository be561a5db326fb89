/** A command that could not be started, in the words of Docker's runtime. */
import { GantryError } from '../../errors.ts'
import type { LaunchError } from '../../runtime/launcher.ts'
import type { ExecOp } from '../plan/ops.ts'
import { ExitError } from './exit-error.ts'

export function startError(error: LaunchError, op: ExecOp): GantryError {
  const missing = error.code === 'ENOENT'
  if (error.op === 'program' || error.op === 'exec') return new ExitError(op.argv, missing ? 127 : 126, false)
  return new GantryError(
    'invalid',
    `process ${JSON.stringify(op.argv.join(' '))} did not start: ${error.message}`,
    {
      cause: error,
    },
  )
}
