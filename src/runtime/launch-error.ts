import type { OpName, Section } from './plan.ts'

/** An operation of a plan that failed. The engine makes docker's text from it. */
export class LaunchError extends Error {
  readonly section: Section
  /** Index in its section. */
  readonly index: number
  readonly op: OpName
  /** `ENOENT`, … */
  readonly code: string
  readonly errno: number
  /** What the errno means: `no such file or directory`. */
  readonly text: string
  /** The path or name that it was about, and what the kernel said; '' where there is none. */
  readonly detail: string

  constructor(fields: {
    section: Section
    index: number
    op: OpName
    code: string
    errno: number
    text: string
    detail: string
  }) {
    super(`${fields.op}${fields.detail ? ` ${fields.detail}` : ''}: ${fields.text}`)
    this.name = 'LaunchError'
    this.section = fields.section
    this.index = fields.index
    this.op = fields.op
    this.code = fields.code
    this.errno = fields.errno
    this.text = fields.text
    this.detail = fields.detail
  }
}
