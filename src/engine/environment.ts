/** The variables of a process in a container. */
import type { ContainerRecord } from './types.ts'

export interface EnvironmentOptions {
  tty?: boolean
  /** From links. */
  linked?: readonly string[]
  /** Of an exec; wins over the container's. */
  own?: readonly string[]
  /** What HOME is if nobody says. */
  home: string
}

/** Docker's order: PATH and HOSTNAME (and TERM) unless said otherwise, links, then what image and user say; HOME last. */
export function environment({ config }: ContainerRecord, options: EnvironmentOptions): string[] {
  const variables = new Map<string, string>()
  const put = (variable: string): void => {
    const at = variable.indexOf('=')
    if (at > 0) variables.set(variable.slice(0, at), variable)
    else variables.delete(variable)
  }
  put('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
  put(`HOSTNAME=${config.hostname ?? ''}`)
  if (options.tty) put('TERM=xterm')
  for (const list of [options.linked, config.env, options.own])
    for (const variable of list ?? []) put(variable)
  if (!variables.has('HOME')) put(`HOME=${options.home}`)
  return [...variables.values()]
}
