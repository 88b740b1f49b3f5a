import { CacheError, describeArgument } from './errors.ts'

/**
 * The longest ttl, 1,000 years: longer ones mean this. It keeps every deadline inside the dates of every store (the
 * narrowest, Firestore's timestamp, ends with the year 9999).
 */
const MAX_TTL = 1000 * 365.25 * 24 * 60 * 60 * 1000

/** A ttl as backends take it, in whole milliseconds. Throws `CACHE_INVALID_TTL` unless it is finite and > 0. */
export function checkTtl(ttl: unknown): number {
  return wholeTtl(ttl, ttl, ' (leave it out for no expiry)')
}

/** The same, where `ttl` was made of what the caller gave. `hint`: what else the caller could give. */
export function wholeTtl(ttl: unknown, given: unknown, hint: string): number {
  if (typeof ttl === 'number' && ttl > 0 && ttl < Number.POSITIVE_INFINITY) return Math.min(Math.ceil(ttl), MAX_TTL)
  throw new CacheError({
    code: 'CACHE_INVALID_TTL',
    message: `ttl must be a finite number of milliseconds greater than 0${hint}, not ${describeArgument(given)}.`,
  })
}
