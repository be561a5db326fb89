/**
 * Finds the handler of a request. A path is written as in the API's documentation: `{id}` is one segment, `{name...}` one or more,
 * because the names of images have slashes in the middle of a path (`/images/library/busybox/json`).
 */
interface Route<H> {
  pattern: RegExp
  names: string[]
  handler: H
}

export interface Match<H> {
  handler: H
  params: Record<string, string>
}

export class Router<H> {
  readonly #exact = new Map<string, Match<H>>()
  /** By method and first segment, in the order they were added. */
  readonly #patterns = new Map<string, Route<H>[]>()

  add(method: string, path: string, handler: H): void {
    if (!path.includes('{')) {
      this.#exact.set(`${method} ${path}`, { handler, params: {} })
      return
    }
    const names: string[] = []
    const source = path.replace(/\{(\w+)(\.\.\.)?\}/g, (_, name: string, many?: string) => {
      names.push(name)
      return many ? '(.+)' : '([^/]+)'
    })
    const key = `${method} ${firstSegment(path)}`
    const routes = this.#patterns.get(key) ?? []
    routes.push({ pattern: new RegExp(`^${source}$`), names, handler })
    this.#patterns.set(key, routes)
  }

  /** `path` is decoded. */
  find(method: string, path: string): Match<H> | undefined {
    const exact = this.#exact.get(`${method} ${path}`)
    if (exact) return exact
    for (const { pattern, names, handler } of this.#patterns.get(`${method} ${firstSegment(path)}`) ?? []) {
      const match = pattern.exec(path)
      if (!match) continue
      const params: Record<string, string> = {}
      for (let index = 0; index < names.length; index++) params[names[index]!] = match[index + 1]!
      return { handler, params }
    }
    return undefined
  }
}

function firstSegment(path: string): string {
  const end = path.indexOf('/', 1)
  return end < 0 ? path.slice(1) : path.slice(1, end)
}
