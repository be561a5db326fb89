import type { Target } from './target.ts'

/** Something that is measured on both engines in turn, so that a busy machine is busy for both. */
export interface Measure {
  name: string
  /** What {@link sample} returns. */
  unit: 'ms' | 'MB' | 'per second' | 'MB/s' | '% of a core'
  better: 'lower' | 'higher'
  /** How many times better than Docker it is meant to be; absent where the goal is {@link limit}. */
  goal?: number
  /** What Gantry itself must stay under. */
  limit?: number
  /** Samples taken of each engine. */
  rounds: number
  /** Once on each engine before the first sample; what it returns undoes it. */
  prepare?(target: Target, context: Context): Promise<() => Promise<void>>
  sample(target: Target, context: Context): Promise<number>
}

/** Where the measures find what they run. */
export interface Context {
  /** A `docker save` archive of a Debian root file system, if one was given. */
  debianArchive: string | undefined
  /** `HOST:PORT` of a registry without TLS that all engines reach and trust, if one was given. */
  registry: string | undefined
  /** How many a measure of many idle containers takes. */
  containers: number
  /** Pushes what all engines pull: the Docker that Gantry is compared with, where there is one. */
  publisher: Target
  /** Restarts Gantry's daemon with its containers running; milliseconds until it answers. */
  restartGantry(): Promise<number>
}
