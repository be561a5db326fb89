/** `host`: the host's own namespace. `null`: a namespace with nothing but `lo`. Neither has interfaces to make. */
import type { Attached, Driver } from './driver.ts'

const nothing = (name: string): Driver => ({
  name,
  validate() {},
  create() {},
  async remove() {},
  attach: (): Attached => ({ mac: '', hostInterface: undefined }),
  async detach() {},
  retire() {},
  defaultRoute: () => undefined,
})

export const hostDriver: Driver = nothing('host')
export const nullDriver: Driver = nothing('null')
