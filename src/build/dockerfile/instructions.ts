/** What a Dockerfile can say, one type per instruction. Texts are as written: variables are expanded later. */
import type { HealthcheckSpec } from '../../engine/types.ts'
import type { LineRange } from './errors.ts'
import type { Heredoc } from './heredoc.ts'

/** What every instruction knows of where it stood. */
export interface Placed {
  /** The logical line as written. */
  original: string
  range: LineRange
  /** As written: `run`, `Run`, `RUN`. */
  written: string
  comments: string[]
}

/** A command line: for the shell (`RUN a | b`) or as an argv (`RUN ["a"]`). */
export interface CommandForm {
  words: string[]
  shell: boolean
}

export interface KeyValue {
  key: string
  /** `undefined` for an `ARG` without default. */
  value: string | undefined
}

/** `RUN --mount=…`. Absent fields were not written. */
export interface MountFlag {
  type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh'
  from?: string
  source?: string
  target?: string
  id?: string
  readOnly?: boolean
  sharing?: 'shared' | 'private' | 'locked'
  required?: boolean
  /** Bytes. */
  size?: number
  mode?: number
  uid?: number
  gid?: number
  /** A secret's variable. */
  env?: string
}

export interface FromInstruction extends Placed {
  name: 'FROM'
  base: string
  platform?: string
  /** Lower case. */
  stageName?: string
  /** As written. */
  stageNameWritten?: string
}

/** `COPY` and `ADD`. */
export interface CopyInstruction extends Placed {
  name: 'COPY' | 'ADD'
  sources: string[]
  /** Files whose content stands in the Dockerfile. */
  heredocs: Heredoc[]
  destination: string
  from?: string
  chown?: string
  chmod?: string
  link: boolean
  parents: boolean
  exclude: string[]
  /** Only `ADD`. */
  checksum?: string
  keepGitDir?: boolean
  unpack?: boolean
}

export interface RunInstruction extends Placed {
  name: 'RUN'
  command: CommandForm
  heredocs: Heredoc[]
  mounts: string[]
  network: string
  security: string
  devices: string[]
}

export interface ArgInstruction extends Placed {
  name: 'ARG'
  args: KeyValue[]
}

export interface PairsInstruction extends Placed {
  name: 'ENV' | 'LABEL'
  pairs: KeyValue[]
  /** Written as `ENV key value`. */
  legacy: boolean
}

export interface CommandInstruction extends Placed {
  name: 'CMD' | 'ENTRYPOINT'
  command: CommandForm
}

export interface ListInstruction extends Placed {
  name: 'EXPOSE' | 'VOLUME' | 'SHELL'
  values: string[]
}

export interface TextInstruction extends Placed {
  name: 'USER' | 'WORKDIR' | 'STOPSIGNAL' | 'MAINTAINER' | 'ONBUILD'
  value: string
}

export interface HealthcheckInstruction extends Placed {
  name: 'HEALTHCHECK'
  check: HealthcheckSpec
}

export type Instruction =
  | FromInstruction
  | CopyInstruction
  | RunInstruction
  | ArgInstruction
  | PairsInstruction
  | CommandInstruction
  | ListInstruction
  | TextInstruction
  | HealthcheckInstruction

export interface Stage {
  from: FromInstruction
  /** Without the `FROM`. */
  instructions: Exclude<Instruction, FromInstruction>[]
}

export const KEYWORDS = [
  'ADD',
  'ARG',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'FROM',
  'HEALTHCHECK',
  'LABEL',
  'MAINTAINER',
  'ONBUILD',
  'RUN',
  'SHELL',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const
