import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

const file = new URL('../trace/web12-17501-57500.gz', import.meta.url)

/** How many requests were recorded. */
export const traceLength = 40_000

/**
 * The recorded requests (`../trace/README.md` says of what), as ids below `places`. The products of
 * the recording become places spread over the world, each its own as long as `places` is no multiple of 7919.
 */
export function readTrace(places: number): number[] {
  const bytes = gunzipSync(readFileSync(file))
  return Array.from({ length: traceLength }, (_, index) => (bytes.readUInt32BE(index * 4) * 7919) % places)
}
