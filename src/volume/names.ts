/** Names of volumes: Docker's rules and texts. */
import { randomBytes } from 'node:crypto'
import { invalid } from '../errors.ts'

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/

/** An anonymous volume's name: 64 hex digits. */
export function anonymousVolumeName(): string {
  return randomBytes(32).toString('hex')
}

/** Raises invalid where `name` cannot be a volume's. */
export function checkVolumeName(name: string): void {
  if (name.length < 2) {
    throw invalid(
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    )
  }
  if (!NAME.test(name)) {
    throw invalid(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    )
  }
}
