/** Bytes that are lent for a while and freed at once: left to the garbage collector, those of whole layers keep it running. */

/** The chunks of `source`, each good until the next is asked for. Whoever made them must not keep them. */
export async function* lent(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    yield chunk
    free(chunk)
  }
}

/** Give back the memory of `chunk`, which nobody looks at any more; nothing happens where it is a part of something larger. */
export function free({ buffer, byteLength }: Uint8Array): void {
  if (byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}
