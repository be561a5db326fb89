/** What `--log-opt labels|env|tag` puts into each log line. moby daemon/logger: loginfo.go */
import { hostname } from 'node:os'
import { invalid } from '../errors.ts'
import { splitOnce } from './filters.ts'
import type { ContainerRecord } from './types.ts'

/** undefined where there is nothing to add. */
export function logAttributes(record: ContainerRecord): Record<string, string> | undefined {
  const options = record.host.logConfig?.options ?? {}
  const attributes: Record<string, string> = {}
  const labels = record.config.labels ?? {}
  const env = Object.fromEntries((record.config.env ?? []).map(variable => splitOnce(variable, '=')))
  select(labels, options['labels'], options['labels-regex'], attributes)
  select(env, options['env'], options['env-regex'], attributes)
  if (options['tag']) attributes['tag'] = expandTag(options['tag'], record)
  return Object.keys(attributes).length > 0 ? attributes : undefined
}

function select(
  from: Record<string, string | undefined>,
  names: string | undefined,
  pattern: string | undefined,
  into: Record<string, string>,
): void {
  const wanted = new Set(names?.split(',').map(name => name.trim()))
  const regex = pattern ? new RegExp(pattern) : undefined
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && (wanted.has(name) || regex?.test(name))) into[name] = value
  }
}

/** `{{.Name}}/{{.ID}}`: the fields of Docker's template; what is unknown becomes nothing. Raises invalid for half a template. */
function expandTag(template: string, record: ContainerRecord): string {
  const fields: Record<string, string> = {
    ID: record.id.slice(0, 12),
    FullID: record.id,
    Name: record.name,
    ImageID: record.imageId.replace('sha256:', '').slice(0, 12),
    ImageFullID: record.imageId,
    ImageName: record.config.image,
    DaemonName: 'docker',
    Hostname: hostname(),
    Command: [record.path, ...record.args].join(' '),
  }
  if (/{{[^}]*$/.test(template)) {
    throw invalid(
      'failed to create task for container: failed to initialize logging driver: template: log-tag:1: unclosed action',
    )
  }
  return template.replace(/{{\s*\.(\w+)\s*}}/g, (_, name: string) => fields[name] ?? '')
}
