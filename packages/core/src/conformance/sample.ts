/** The largest value that the kit writes to see it stored; larger limits would take a runner's memory. */
export const MAX_TESTED_BYTES: number = 64 * 1024 * 1024

/** A text as the bytes of its UTF-8. */
export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}

/** So many bytes, always the same ones, and not what any compression or text coding makes short. */
export function pattern(length: number): Uint8Array {
  const pattern = new Uint8Array(length)
  let state = 0x2545f491
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    pattern[index] = state >>> 24
  }
  return pattern
}
