import type { CacheDefaults, CacheOptions, StandardSchema } from './cache.ts'
import { parseDuration, parseTtl } from './duration.ts'
import { assertArgument, CacheError } from './errors.ts'
import { assertText } from './physical-id.ts'
import type { LeaseSettings } from './protocol.ts'
import type { Life } from './tagged-records.ts'

const MAX_TAGS = 32
const MAX_TAG_BYTES = 256
/** A loader that takes longer is given up, unless `loaderTimeout.hard` says otherwise. */
const HARD_TIMEOUT = 60_000

/** Throws `CACHE_INVALID_ARGUMENT` or `CACHE_INVALID_TTL` for an option that is not what it should be. */
export function checkDefaults<T extends object>(options: T | undefined): T {
  if (options === undefined) return {} as T
  assertArgument(typeof options === 'object' && options !== null, 'options must be an object', options)
  const { ttl, jitter = 0, shouldCache, tags, loaderTimeout, schema, ...rest } = options as CacheDefaults<unknown>
  if (ttl !== undefined && typeof ttl !== 'function') parseTtl(ttl)
  assertArgument(
    typeof jitter === 'number' && jitter >= 0 && jitter <= 1,
    'jitter must be a number from 0 to 1',
    jitter,
  )
  assertArgument(
    shouldCache === undefined || typeof shouldCache === 'function',
    'shouldCache must be a function',
    shouldCache,
  )
  assertArgument(
    schema === undefined || typeof schema?.['~standard']?.validate === 'function',
    'schema must be a Standard Schema, such as one of Zod or Valibot',
    schema,
  )
  checkTags(tags)
  staleTimesOf(rest)
  timeoutsOf(loaderTimeout)
  return options
}

/** The tags, each once. */
export function checkTags(tags: readonly string[] | undefined = []): readonly string[] {
  assertArgument(Array.isArray(tags), 'tags must be an array of strings', tags)
  const unique = [...new Set<string>(tags)]
  assertArgument(unique.length <= MAX_TAGS, `An entry has at most ${MAX_TAGS} tags`, unique.length)
  for (const tag of unique) assertText('A tag', tag, MAX_TAG_BYTES)
  return unique
}

/** In milliseconds. */
export function timeoutsOf(timeouts: CacheDefaults<never>['loaderTimeout']): {
  soft: number | undefined
  hard: number
} {
  const { soft, hard = HARD_TIMEOUT } = timeouts ?? {}
  return {
    soft: soft === undefined ? soft : parseDuration('loaderTimeout.soft', soft),
    hard: Math.min(parseDuration('loaderTimeout.hard', hard), 0x7fffffff),
  }
}

/** How long `value` is to live. */
export function lifeOf<T>(options: Omit<CacheDefaults<T>, 'schema'>, value: T): Life {
  const { ttl = 'forever', jitter = 0 } = options
  const whole = parseTtl(typeof ttl === 'function' ? ttl(value) : ttl)
  const shortened = whole && (Math.ceil(whole * (1 - jitter * Math.random())) || 1)
  return { ttl: shortened, stale: Math.max(...staleTimesOf(options)) }
}

/** `staleWhileRevalidate` and `staleIfError` in milliseconds. */
export function staleTimesOf(
  options: Pick<CacheDefaults<never>, 'staleWhileRevalidate' | 'staleIfError'>,
): [number, number] {
  const { staleWhileRevalidate = 0, staleIfError = 0 } = options
  return [parseDuration('staleWhileRevalidate', staleWhileRevalidate), parseDuration('staleIfError', staleIfError)]
}

/** `options` over `defaults`; what is `undefined` says nothing. */
export function merge<T extends object>(defaults: T, options: object): T {
  const said = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...defaults, ...Object.fromEntries(said) }
}

/** The value as the schema gives it. Throws `CACHE_INVALID_VALUE` where it does not fit, or the schema throws. */
export async function validate<T>(schema: StandardSchema<T> | undefined, value: T): Promise<T> {
  if (schema === undefined) return value
  let where = 'that threw; see the cause'
  let cause: unknown
  try {
    const result = await schema['~standard'].validate(value)
    if (result.issues === undefined) return result.value
    const paths = result.issues.map(({ path = [] }) =>
      ['value', ...path.map(part => String(typeof part === 'object' ? part.key : part))].join('.'),
    )
    where = `at ${[...new Set(paths)].slice(0, 5).join(', ')}`
  } catch (error) {
    cause = error
  }
  throw new CacheError({ code: 'CACHE_INVALID_VALUE', message: `The value does not fit the schema ${where}.`, cause })
}

/** Whether processes take leases on the store, and for how long. */
export function leaseOf(lease: CacheOptions<never>['lease'], shared: boolean): LeaseSettings {
  const options = typeof lease === 'object' && lease ? lease : { scope: lease }
  const { scope = shared ? 'store' : 'process', ttl = 5000, wait = 30_000 } = options
  assertArgument(scope === 'store' || scope === 'process', "lease.scope must be 'store' or 'process'", scope)
  const life = parseDuration('lease.ttl', ttl)
  assertArgument(life >= 100, 'lease.ttl must be at least 100 ms', life)
  return { scope, ttl: life, wait: parseDuration('lease.wait', wait) }
}

/** When a store that fails is not asked any more. */
export function breakerOf(breaker: CacheOptions<never>['breaker']): { failures: number; retryAfter: number } {
  if (breaker === false) return { failures: Number.POSITIVE_INFINITY, retryAfter: 0 }
  const { failures = 5, retryAfter = 1000 } = breaker ?? {}
  assertArgument(Number.isInteger(failures) && failures > 0, 'breaker.failures must be a positive integer', failures)
  return { failures, retryAfter: parseDuration('breaker.retryAfter', retryAfter) }
}
