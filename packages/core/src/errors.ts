/** Every code that a {@link CacheError} can carry. Codes are API and never change their meaning; messages may. */
export type CacheErrorCode =
  /** A key is not a non-empty well-formed string of at most 8 KiB in UTF-8. */
  | 'CACHE_INVALID_KEY'
  /** A ttl is not a finite number of milliseconds greater than 0. */
  | 'CACHE_INVALID_TTL'
  /** Any other argument or option is not what the method takes. */
  | 'CACHE_INVALID_ARGUMENT'
  /** A loaded value does not fit the cache's schema. */
  | 'CACHE_INVALID_VALUE'
  /** The value is larger than the store takes (`supports.maxValueBytes`). Nothing was sent. */
  | 'CACHE_VALUE_TOO_LARGE'
  /** The codec cannot store this value without loss; the message has the path of the culprit. */
  | 'CACHE_NOT_SERIALIZABLE'
  /** The store holds bytes under this key that CacheKit did not write, or that were damaged. */
  | 'CACHE_CORRUPT_ENTRY'
  /** `increment` met a value that is not a decimal integer. It is unchanged. */
  | 'CACHE_NOT_A_COUNTER'
  /** The result of `increment` would leave the safe integers. The counter is unchanged. */
  | 'CACHE_COUNTER_OVERFLOW'
  /** This backend does not do this; its `supports` says so. */
  | 'CACHE_NOT_SUPPORTED'
  /** The store cannot be reached, or cannot serve now. */
  | 'CACHE_UNAVAILABLE'
  /** No answer within the backend's `timeout`. */
  | 'CACHE_TIMEOUT'
  /** The backend, the namespace view or the cache was closed. */
  | 'CACHE_CLOSED'
  /** The store refused the call for a reason of its own; see `cause`. */
  | 'CACHE_BACKEND_FAILED'
  /** Part of a batch failed; `keys` names that part, the rest is applied. */
  | 'CACHE_BATCH_FAILED'
  /** The loader did not settle within its hard timeout. */
  | 'CACHE_LOADER_TIMEOUT'

/** What a {@link CacheError} is made of. */
export interface CacheErrorFields {
  readonly code: CacheErrorCode
  /** What happened and what to do next. Never holds a value, a password or a user's key. */
  readonly message?: string | undefined
  /** The driver's own error. */
  readonly cause?: unknown
  /** Whether the same call may succeed later. Default: true for `CACHE_UNAVAILABLE` and `CACHE_TIMEOUT`. */
  readonly retryable?: boolean | undefined
  readonly backend?: string | undefined
  readonly operation?: string | undefined
  /** On batches: the keys that failed. */
  readonly keys?: readonly string[] | undefined
  /** On writes: `unknown` if the write may have been applied, or may still be. */
  readonly outcome?: 'not-applied' | 'unknown' | undefined
}

/**
 * A registered symbol and not `instanceof`: two copies of this package (its ES modules and its CommonJS, or two
 * versions) can meet in one process.
 */
const BRAND = Symbol.for('@cachekit/core:error')

/** The one error class of CacheKit. Branch on `code`, with {@link isCacheError}. */
export class CacheError extends Error {
  readonly code: CacheErrorCode
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  /** The backend's `name`. */
  declare readonly backend?: string
  /** The method that failed. */
  declare readonly operation?: string
  /** On batches: the keys that failed. The others are applied. */
  declare readonly keys?: readonly string[]
  /** On writes: whether the store is certainly unchanged, or may have taken the write, or may still take it. */
  declare readonly outcome?: 'not-applied' | 'unknown'

  constructor(fields: CacheErrorFields) {
    super(fields.message ?? fields.code, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.code = fields.code
    this.retryable = fields.retryable ?? (fields.code === 'CACHE_UNAVAILABLE' || fields.code === 'CACHE_TIMEOUT')
    for (const name of ['backend', 'operation', 'keys', 'outcome'] as const) {
      if (fields[name] !== undefined) Object.assign(this, { [name]: fields[name] })
    }
  }
}
Object.defineProperties(CacheError.prototype, {
  name: { value: 'CacheError', configurable: true, writable: true },
  [BRAND]: { value: true },
})

/** Whether `error` is a {@link CacheError} of any copy of CacheKit, with this `code` where one is given. */
export function isCacheError(error: unknown, code?: CacheErrorCode): error is CacheError {
  if (typeof error !== 'object' || error === null || !(BRAND in error)) return false
  return code === undefined || ('code' in error && error.code === code)
}

/** The error for an argument or option that is not what the method takes. */
export function invalidArgument(message: string): CacheError {
  return new CacheError({ code: 'CACHE_INVALID_ARGUMENT', message })
}

/** Throws the error for `actual` unless it is `valid`: "ttl must be a number, not 'x'.". */
export function assertArgument(
  valid: boolean,
  expectation: string,
  actual: unknown,
  describe: (value: unknown) => string = describeArgument,
): asserts valid {
  if (!valid) throw invalidArgument(`${expectation}, not ${describe(actual)}.`)
}

/** Names a rejected option or number in a message. Not for values and keys, which never appear in one. */
export function describeArgument(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return typeof value === 'string' && value.length <= 80 ? JSON.stringify(value) : typeOf(value)
}

/** The type of a rejected argument, for a message. */
export function typeOf(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return 'an array'
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}
