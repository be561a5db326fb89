/** Answers held against the published API schema: {@link checkAnswer}. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { Ajv, type ValidateFunction } from 'ajv'
import { parse } from 'yaml'

const source = path.resolve(import.meta.dirname, '../../src/api/schema/docker-engine-v1.55.yaml')

interface Operation {
  responses: Record<string, { schema?: Json }>
}
type Json = { [key: string]: unknown }

/** Pointers in Go, `null` in every real answer, and plain numbers in the schema. */
const pointers = ['MemorySwappiness', 'ExitCode']

const document = parse(fs.readFileSync(source, 'utf8')) as {
  definitions: Record<string, Json>
  paths: Record<string, Record<string, Operation>>
}
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false })
ajv.addSchema({ $id: 'docker', definitions: translated(document.definitions) })
const validators = new Map<string, ValidateFunction>()

/**
 * What is wrong with `body` as an answer to `method path` (the path as the schema writes it, `/containers/{id}/json`); an empty list
 * is right. Throws where the schema has no such answer.
 */
export function checkAnswer(method: string, path: string, status: number, body: unknown): string[] {
  const key = `${method} ${path} ${status}`
  let validate = validators.get(key)
  if (!validate) {
    const schema = document.paths[path]?.[method.toLowerCase()]?.responses[status]?.schema
    if (!schema) throw new Error(`the schema has no answer ${key}`)
    validate = ajv.compile(translated(schema) as Json)
    validators.set(key, validate)
  }
  if (validate(body)) return []
  return validate.errors!.map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  )
}

/** Swagger's dialect as JSON schema. Go's nil slices and maps are `null` on the wire, whatever the schema says. */
function translated(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(translated)
  if (typeof value !== 'object' || value === null) return value
  const { example: _, ...schema } = value as Json
  const result = Object.fromEntries(Object.entries(schema).map(([key, entry]) => [key, translated(entry)]))
  for (const name of pointers) {
    const property = result[name] as Json | undefined
    if (property?.['type'] === 'integer') property['type'] = ['integer', 'null']
  }
  if (typeof result['$ref'] === 'string') {
    return { $ref: result['$ref'].replace('#/', 'docker#/') }
  }
  if (typeof result['type'] === 'string') {
    const nullable = result['x-nullable'] || result['type'] === 'array' || result['type'] === 'object'
    if (nullable) {
      if (Array.isArray(result['enum'])) result['enum'] = [...result['enum'], null]
      result['type'] = [result['type'], 'null']
    }
  }
  return result
}
