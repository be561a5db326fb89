/**
 * Results that a client hands from one build to the next (`target:` contexts of bake, `service:` contexts of compose). It wants them as
 * definitions of operations; ours have one operation, which names the build.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { digestOf } from '../image/digest.ts'
import { type Definition, DefinitionSchema, OpSchema } from './proto/gen/ops_pb.js'

const SCHEME = 'gantry-result://'

/** What stands for the result of a build. */
export function resultDefinition(build: string): Definition {
  const source = toBinary(
    OpSchema,
    create(OpSchema, { op: { case: 'source', value: { identifier: SCHEME + build } } }),
  )
  const digest = digestOf(source)
  const end = toBinary(OpSchema, create(OpSchema, { inputs: [{ digest, index: 0n }] }))
  return create(DefinitionSchema, { def: [source, end], metadata: { [digest]: {} } })
}

/** The build that a definition stands for; `undefined` for one that is not ours. */
export function definedResult(definition: Definition): string | undefined {
  for (const bytes of definition.def) {
    const { op } = fromBinary(OpSchema, bytes)
    if (op.case === 'source' && op.value.identifier.startsWith(SCHEME)) {
      return op.value.identifier.slice(SCHEME.length)
    }
  }
  return undefined
}
