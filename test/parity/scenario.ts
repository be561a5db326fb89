/** What is asked of an engine, and what came of it. */

export interface Scenario {
  /** Unique in its area. */
  name: string
  /** Shell lines that must succeed; what they print is not compared. */
  setup?: string
  /**
   * Shell lines whose standard output, standard error and exit code are compared. `docker` talks to the engine; `$I` is an image of
   * busybox, `$N` a name that belongs to the scenario: containers, volumes and networks must be called so, or begin so;
   * images and tags begin with `parity/`.
   */
  run: string
}

export interface Outcome {
  stdout: string
  stderr: string
  code: number
}

/** By the scenario's name. */
export type Recording = Record<string, Outcome>

export interface Area {
  name: string
  scenarios: Scenario[]
}

/** Scenarios as `[name, run]` or `[name, setup, run]`. */
export function area(name: string, entries: ([string, string] | [string, string, string])[]): Area {
  const scenarios = entries.map(
    ([title, first, second]): Scenario =>
      second === undefined ? { name: title, run: first } : { name: title, setup: first, run: second },
  )
  const names = new Set(scenarios.map(scenario => scenario.name))
  if (names.size !== scenarios.length) throw new Error(`${name}: two scenarios have the same name`)
  return { name, scenarios }
}
