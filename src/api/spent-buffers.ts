/**
 * Memory of buffers that were received and are done with. V8 hardly sees it: it collects when its heap is full, and a gigabyte that passes
 * by in buffers of 64 kB leaves little there. So up to 100 MB of them pile up, unless they are counted here.
 */

/** Bytes after which the young generation is collected: a tenth of a millisecond. */
const AT_ONCE = 8 << 20

let spent = 0

/** So many more bytes were taken and are not needed any more. Does nothing where Node runs without `--expose-gc`. */
export function noteSpent(bytes: number): void {
  spent += bytes
  if (spent < AT_ONCE) return
  spent = 0
  globalThis.gc?.({ type: 'minor' })
}
