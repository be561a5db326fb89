/** What a build tells while it runs. Times are milliseconds since 1970. */
import type { Digest } from '../../image/types.ts'
import type { LineRange } from '../dockerfile/errors.ts'

export interface VertexEvent {
  type: 'vertex'
  digest: Digest
  inputs: Digest[]
  name: string
  started?: number
  completed?: number
  cached?: boolean
  error?: string
}

export interface StatusEvent {
  type: 'status'
  vertex: Digest
  id: string
  name?: string
  current: number
  total: number
  timestamp: number
  started?: number
  completed?: number
}

export interface LogEvent {
  type: 'log'
  vertex: Digest
  /** 1 is stdout, 2 is stderr. */
  stream: 1 | 2
  data: Buffer
  timestamp: number
}

export interface WarningEvent {
  type: 'warning'
  vertex: Digest
  level: number
  short: string
  detail: string[]
  url: string
  file: string
  source: string
  ranges: LineRange[]
}

export type ProgressEvent = VertexEvent | StatusEvent | LogEvent | WarningEvent

export type OnProgress = (event: ProgressEvent) => void
