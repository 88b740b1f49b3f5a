import * as types from 'node:util/types'

/** Bytes of a primitive, or of the reference to an object. */
const SLOT = 8
/** Bytes of an object beside what is in it. */
const OBJECT = 32

/**
 * About how many bytes a value takes in memory, for limits. It takes any value, also one that no codec does: an object
 * that occurs twice counts once, and a function or an object with private fields counts too little.
 */
export function estimateSize(value: unknown): number {
  const pending: unknown[] = [value]
  const seen = new Set<unknown>()
  let size = 0
  while (pending.length > 0) {
    const next = pending.pop()
    size += SLOT
    if (typeof next === 'string') size += next.length
    if (typeof next !== 'object' || next === null || seen.has(next)) continue
    seen.add(next)
    size += OBJECT
    if (ArrayBuffer.isView(next) || types.isAnyArrayBuffer(next)) {
      size += next.byteLength
    } else if (Array.isArray(next) || types.isMap(next) || types.isSet(next)) {
      for (const element of next) pending.push(element)
    } else {
      for (const entry of Object.entries(next)) pending.push(...entry)
    }
  }
  return size
}
