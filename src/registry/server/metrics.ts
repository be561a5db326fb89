/** Counters and gauges in Prometheus' text format. */

interface Metric {
  help: string
  type: 'counter' | 'gauge'
  values: Map<string, number>
  read?: () => number
}

export class Metrics {
  readonly #metrics = new Map<string, Metric>()

  counter(name: string, help: string): (labels?: Record<string, string | number>, by?: number) => void {
    const values = new Map<string, number>()
    this.#metrics.set(name, { help, type: 'counter', values })
    return (labels = {}, by = 1) => {
      const key = labelText(labels)
      values.set(key, (values.get(key) ?? 0) + by)
    }
  }

  /** A value that is read when it is asked for. */
  gauge(name: string, help: string, read: () => number): void {
    this.#metrics.set(name, { help, type: 'gauge', values: new Map(), read })
  }

  toString(): string {
    let text = ''
    for (const [name, { help, type, values, read }] of this.#metrics) {
      text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
      if (read) text += `${name} ${read()}\n`
      for (const [labels, value] of values) text += `${name}${labels} ${value}\n`
    }
    return text
  }
}

function labelText(labels: Record<string, string | number>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  )
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
