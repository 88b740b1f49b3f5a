import { CacheError } from './errors.ts'

/** How a counter is stored: the one way to write an integer in decimal. */
export const DECIMAL: RegExp = /^(?:0|-?[1-9]\d*)$/
/** Bytes of the longest text of a safe integer. */
const MAX_SAFE_BYTES = 17
/** No sum of a longer number and a safe integer is a safe integer. */
const MAX_DIGITS = 20

/**
 * Adds `by` to the counter in `value` (`undefined`: 0). Throws `CACHE_NOT_A_COUNTER` for other bytes, and
 * `CACHE_COUNTER_OVERFLOW` for a sum that is not a safe integer.
 */
export function addToCounter(value: Uint8Array | undefined, by: number): { sum: number; bytes: Uint8Array } {
  const text = value === undefined ? '0' : toText(value)
  if (!DECIMAL.test(text)) throw notACounter()
  const sum = checkSum(text.length > MAX_DIGITS ? Number.NaN : Number(BigInt(text) + BigInt(by)))
  return { sum, bytes: Buffer.from(String(sum)) }
}

/** What two integers add up to. Throws `CACHE_COUNTER_OVERFLOW` unless that is a safe integer. */
export function checkSum(sum: number): number {
  // `+ 0` turns -0 into 0.
  if (Number.isSafeInteger(sum)) return sum + 0
  throw counterOverflow()
}

/** The safe integer that bytes spell as a counter does, for stores that keep counters as numbers; else `undefined`. */
export function toCounter(value: Uint8Array): number | undefined {
  if (value.byteLength > MAX_SAFE_BYTES) return undefined
  const text = toText(value)
  return DECIMAL.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined
}

/** For stores that add by themselves. */
export function notACounter(): CacheError {
  return new CacheError({ code: 'CACHE_NOT_A_COUNTER', message: 'The stored value is not a decimal integer.' })
}

/** For stores that add by themselves. */
export function counterOverflow(): CacheError {
  return new CacheError({
    code: 'CACHE_COUNTER_OVERFLOW',
    message: 'The sum would be outside the safe integers. The counter is unchanged.',
  })
}

function toText({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
}
