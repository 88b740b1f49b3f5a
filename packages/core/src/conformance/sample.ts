/** The largest value that the kit writes to see it stored; larger limits would take a runner's memory. */
export const MAX_TESTED_BYTES: number = 64 * 1024 * 1024

/** A text as the bytes of its UTF-8. */
export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}

// Jest runs modules in a context of their own, in which a look at a global costs as much as a call.
const { imul } = Math

/** As long as a prime, so that no store's chunks begin where a repetition does. */
const BLOCK: Uint8Array = new Uint8Array(65_521)
for (let index = 0, state = 0x2545f491; index < BLOCK.length; index++) {
  state = (imul(state, 1_664_525) + 1_013_904_223) >>> 0
  BLOCK[index] = state >>> 24
}

/** So many bytes, always the same ones, and of every value. */
export function pattern(length: number): Uint8Array {
  const pattern = new Uint8Array(length)
  for (let start = 0; start < length; start += BLOCK.length) {
    pattern.set(BLOCK.subarray(0, Math.min(BLOCK.length, length - start)), start)
  }
  return pattern
}
