/** Where a container's shim writes its log, and how. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { LogTarget } from '../runtime/compile.ts'
import { logAttributes } from './log-attributes.ts'
import { logLimits } from './log-config.ts'
import type { ContainerRecord } from './types.ts'

/** `undefined` for the driver `none`. */
export function logTarget(record: ContainerRecord): LogTarget | undefined {
  const config = record.host.logConfig ?? { type: 'json-file', options: {} }
  if (config.type === 'none') return undefined
  const limits = logLimits(config)
  const attrs = logAttributes(record)
  if (config.type === 'local') fs.mkdirSync(path.dirname(record.logPath), { recursive: true, mode: 0o700 })
  return {
    format: config.type === 'local' ? 'local' : 'jsonFile',
    path: record.logPath,
    maxSize: Math.max(0, limits.maxSize),
    maxFiles: limits.maxFile,
    ...(limits.nonBlockingBuffer && { ring: limits.nonBlockingBuffer }),
    ...(attrs && { attrs }),
  }
}
