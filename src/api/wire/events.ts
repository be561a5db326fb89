/** How events look on the wire. */
import type { EngineEvent } from '../../engine/types.ts'

/** Until 1.51 the container's or image's part stood a second time at the top, as in the first API. */
export function encodeEvent({ type, action, actor, timeNano }: EngineEvent, api: number): unknown {
  const old = api < 52 && (type === 'container' || type === 'image')
  const from = type === 'container' ? actor.attributes['image'] : undefined
  return {
    ...(old && { status: action, id: actor.id, ...(from && { from }) }),
    Type: type,
    Action: action,
    Actor: { ID: actor.id, Attributes: actor.attributes },
    scope: 'local',
    time: Number(timeNano / 1_000_000_000n),
    // Nanoseconds do not fit a JavaScript number; written digit by digit they do fit JSON.
    timeNano: rawNumber(timeNano),
  }
}

declare global {
  interface JSON {
    /** ECMAScript: a JSON number of any length. */
    rawJSON(text: string): unknown
  }
}

const rawNumber = (value: bigint) => JSON.rawJSON(String(value))
