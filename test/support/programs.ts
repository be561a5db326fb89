import { execFileSync } from 'node:child_process'

/** What is missing of `programs` (each with its Debian package), for `test(…, { skip })`; `false` where all are there. */
export function lacksPrograms(programs: Record<string, string>): string | false {
  for (const [program, name] of Object.entries(programs)) {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`])
    } catch {
      return `needs ${program} (Debian: apt-get install ${name})`
    }
  }
  return false
}
