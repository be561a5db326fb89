/** Further processes in running containers. */
import type { Duplex } from 'node:stream'
import { notImplemented } from '../errors.ts'
import type { ContainerStream } from './containers.ts'
import type { ExecDetails, ExecSpec } from './results.ts'

const soon = (name: string) => notImplemented(`${name} is not implemented`)

export interface ExecStartOptions {
  detach?: boolean
  tty?: boolean
  consoleSize?: [number, number]
  signal?: AbortSignal
}

export class Execs {
  /** The new exec's id. */
  async create(_containerRef: string, _spec: ExecSpec): Promise<string> {
    throw soon('exec create')
  }

  /** undefined when detached; else the stream, which ends with the process. */
  async start(_id: string, _options: ExecStartOptions = {}): Promise<ContainerStream<Duplex> | undefined> {
    throw soon('exec start')
  }

  async resize(_id: string, _rows: number, _columns: number): Promise<void> {
    throw soon('exec resize')
  }

  inspect(_id: string): ExecDetails {
    throw soon('exec inspect')
  }
}
