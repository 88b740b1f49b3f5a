import type { CacheErrorFields } from '@cachekit/core'

/** The parts of the driver's errors that matter here: by name and code, as its classes differ from copy to copy. */
interface DriverError {
  readonly name?: unknown
  readonly message?: unknown
  readonly code?: unknown
  readonly codeName?: unknown
  readonly writeErrors?: unknown
  readonly result?: unknown
}

/** Codes of https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
export const DUPLICATE_KEY = 11000
const UNAUTHORIZED = 13
const AUTHENTICATION_FAILED = 18
const MAX_TIME_EXPIRED = new Set([50, 262])
/** The server shuts down, steps down, or is no primary: another one is elected, or it comes back. */
const NOT_PRIMARY = new Set([91, 189, 10058, 10107, 11600, 11602, 13435, 13436])
const TOO_LARGE = new Set([10334, 17280, 17419, 17420])
const INDEX_CONFLICT = new Set([85, 86])
/** The write was applied, and will stay only if it reaches a majority. */
const WRITE_CONCERN = new Set([64, 75, 79, 100])

/** What an error of the driver means. Server messages can quote values, so none of them is repeated. */
export function toErrorFields(error: unknown): CacheErrorFields | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { name, code } = error as DriverError
  switch (name) {
    case 'MongoServerSelectionError':
      return {
        code: 'CACHE_UNAVAILABLE',
        message:
          'No MongoDB server can be reached that takes this call. Is it running, at this address, with a primary?',
        outcome: 'not-applied',
      }
    case 'MongoNetworkError':
    case 'MongoNetworkTimeoutError':
    case 'MongoPoolClearedError':
    case 'PoolClearedOnNetworkError':
    case 'MongoConnectionPoolClearedError':
      return { code: 'CACHE_UNAVAILABLE', message: 'The connection to MongoDB was lost.', outcome: 'unknown' }
    case 'MongoOperationTimeoutError':
    case 'MongoWaitQueueTimeoutError':
      return { code: 'CACHE_TIMEOUT', message: 'MongoDB did not answer in time.', outcome: 'unknown' }
    case 'MongoNotConnectedError':
    case 'MongoTopologyClosedError':
    case 'MongoClientClosedError':
      return {
        code: 'CACHE_UNAVAILABLE',
        message: 'The MongoClient that was passed in is closed, or its first connect failed: pass in a new one.',
        outcome: 'not-applied',
      }
  }
  return typeof code === 'number' ? serverError(code) : undefined
}

function serverError(code: number): CacheErrorFields {
  if (code === AUTHENTICATION_FAILED) {
    return refused('MongoDB does not accept the credentials: look at user, password and authSource of the url.')
  }
  if (code === UNAUTHORIZED) {
    return refused('The MongoDB user may not do this: see "Permissions" in the README of @cachekit/mongodb.')
  }
  if (NOT_PRIMARY.has(code)) {
    return {
      code: 'CACHE_UNAVAILABLE',
      message: 'The MongoDB server is no primary, or is shutting down; one will be elected.',
      outcome: 'unknown',
    }
  }
  if (MAX_TIME_EXPIRED.has(code)) {
    return { code: 'CACHE_TIMEOUT', message: 'MongoDB gave up on the call at its time limit.', outcome: 'unknown' }
  }
  if (TOO_LARGE.has(code)) {
    return {
      code: 'CACHE_VALUE_TOO_LARGE',
      message: 'MongoDB takes no document of this size.',
      outcome: 'not-applied',
    }
  }
  if (INDEX_CONFLICT.has(code)) {
    return refused(
      'The collection has another index on expiresAt: drop it, or give the cache a collection of its own (option collection).',
    )
  }
  if (WRITE_CONCERN.has(code)) {
    return { code: 'CACHE_UNAVAILABLE', message: 'The write has not reached a majority in time.', outcome: 'unknown' }
  }
  return refused(`MongoDB refused the call with code ${code}; see the cause.`)
}

function refused(message: string): CacheErrorFields {
  return { code: 'CACHE_BACKEND_FAILED', message, outcome: 'not-applied' }
}

/** Whether another call has just inserted the document that this one wanted to insert. */
export function isDuplicateKey(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as DriverError).code === DUPLICATE_KEY
}
