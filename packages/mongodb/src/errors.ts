import { type CacheErrorFields, type DriverError, isDriverError, withoutDetails } from '@cachekit/core'

type Meaning = Pick<CacheErrorFields, 'code' | 'message' | 'retryable' | 'outcome'>

export const DUPLICATE_KEY = 11000
export const NAMESPACE_NOT_FOUND = 26

const LOST: Meaning = { code: 'CACHE_UNAVAILABLE', message: 'the connection to MongoDB was lost', outcome: 'unknown' }
const CLIENT_GONE: Meaning = {
  code: 'CACHE_UNAVAILABLE',
  message: 'the MongoClient that was passed in is closed, or its first attempt to connect failed: pass in a new one',
  outcome: 'not-applied',
}

/**
 * What errors of the driver mean, by their names: its classes differ from copy to copy. The driver sends a write again if
 * the first answer was lost, which MongoDB recognises (https://www.mongodb.com/docs/manual/core/retryable-writes/); so
 * "no server" can be what became of a second attempt, and the first one may have been applied.
 */
const DRIVER_ERRORS: Readonly<Record<string, Meaning>> = {
  MongoServerSelectionError: { code: 'CACHE_UNAVAILABLE', message: 'no MongoDB server takes this call' },
  MongoNetworkError: LOST,
  MongoNetworkTimeoutError: { code: 'CACHE_TIMEOUT', message: 'MongoDB gave no answer in time' },
  MongoPoolClearedError: LOST,
  PoolClearedOnNetworkError: LOST,
  MongoPoolClosedError: LOST,
  MongoServerClosedError: LOST,
  MongoStalePrimaryError: LOST,
  MongoWaitQueueTimeoutError: {
    code: 'CACHE_TIMEOUT',
    message: 'no connection of the pool became free in time (waitQueueTimeoutMS, maxPoolSize)',
  },
  MongoOperationTimeoutError: { code: 'CACHE_TIMEOUT', message: "the client's timeoutMS" },
  MongoNotConnectedError: CLIENT_GONE,
  MongoTopologyClosedError: CLIENT_GONE,
  MongoClientClosedError: CLIENT_GONE,
}

const NO_PRIMARY: Meaning = {
  code: 'CACHE_UNAVAILABLE',
  message:
    'this MongoDB server is not the primary (any more); name all members, or replicaSet, in url to have it found',
  outcome: 'unknown',
}
const STOPPING: Meaning = { ...NO_PRIMARY, message: 'the MongoDB server shuts down' }
const LOGIN: Meaning = refused('MongoDB refused the login: check user, password and authSource in url')
const TOO_LARGE: Meaning = { code: 'CACHE_VALUE_TOO_LARGE', message: 'MongoDB takes no document of this size' }
const NO_MAJORITY: Meaning = {
  code: 'CACHE_UNAVAILABLE',
  message: 'the write has not reached a majority of the replica set',
  outcome: 'unknown',
}

/**
 * What errors of the server mean, by the codes in `src/mongo/base/error_codes.yml` of MongoDB. Those with an outcome may
 * follow a first attempt that was applied; the others refuse a call for what it is.
 */
const SERVER_ERRORS: Readonly<Record<number, Meaning>> = {
  6: LOST, // HostUnreachable: a mongos says so
  7: LOST, // HostNotFound
  89: LOST, // NetworkTimeout
  9001: LOST, // SocketException
  13: refused('the MongoDB user may not do this: see "Permissions" in the README of @cachekit/mongodb'),
  18: LOGIN,
  20: refused(
    'MongoDB refused the call (IllegalOperation): a server that is no replica set needs retryWrites=false in url',
  ),
  50: { code: 'CACHE_TIMEOUT', message: 'MongoDB ended the call at its time limit', outcome: 'unknown' },
  262: { code: 'CACHE_TIMEOUT', message: 'MongoDB ended the call at its time limit', outcome: 'unknown' },
  64: NO_MAJORITY, // WriteConcernFailed
  79: NO_MAJORITY, // UnknownReplWriteConcern
  100: { ...NO_MAJORITY, message: 'the replica set has too few members for a majority' },
  91: STOPPING,
  11600: STOPPING,
  189: NO_PRIMARY, // PrimarySteppedDown
  11602: NO_PRIMARY, // InterruptedDueToReplStateChange
  10058: NO_PRIMARY,
  10107: NO_PRIMARY,
  13435: NO_PRIMARY,
  13436: NO_PRIMARY, // still recovering
  10334: TOO_LARGE,
  17280: TOO_LARGE,
  17419: TOO_LARGE,
  17420: TOO_LARGE,
  14031: refused('MongoDB has no disk space left'),
  85: refused('the collection has another index on expiresAt: drop it, or use another collection'),
  86: refused('the collection has another index of this name: drop it, or use another collection'),
  166: refused('there is a view, not a collection, of this name: use another collection'),
}

interface MongoError extends DriverError {
  /** Of a server that knows no retryable writes: what it said. */
  readonly originalError?: unknown
  /** What the driver has made this error of: another error, or an answer of the server, which has no name. */
  readonly errorResponse?: Partial<DriverError>
  /** Of a bulk write. */
  readonly result?: { getWriteConcernError?(): unknown }
}

/** What an error of the driver means. Its `cause` is a copy that is safe to print. */
export function toErrorFields(error: unknown): CacheErrorFields | undefined {
  if (!isDriverError(error)) return undefined
  const { originalError, errorResponse }: MongoError = error
  if (originalError !== undefined) return toErrorFields(originalError)
  if (errorResponse?.name !== undefined) return toErrorFields(errorResponse)
  return { ...meaningOf(error), cause: withoutDetails(error, textOf(error)) }
}

/** Whether a write was done, but not acknowledged as asked. Refused documents of a bulk write are not told this way. */
function isWriteConcernError({ name, result }: MongoError): boolean {
  return name === 'MongoWriteConcernError' || result?.getWriteConcernError?.() !== undefined
}

function meaningOf(error: DriverError): Meaning {
  if (typeof error.code === 'number') {
    const known = SERVER_ERRORS[error.code]
    // The write itself was done, whatever kept the others from having it.
    if (isWriteConcernError(error)) return known?.outcome === 'unknown' ? known : NO_MAJORITY
    return { outcome: 'not-applied', ...(known ?? refused(`MongoDB refused the call (${textOf(error)})`)) }
  }
  // The driver passes errors of a socket's writing side, and of DNS, on as they are: ECONNRESET, ENOTFOUND.
  const socketError =
    typeof error.code === 'string' ? { ...LOST, message: `no connection to MongoDB (${error.code})` } : undefined
  const known = DRIVER_ERRORS[error.name] ?? socketError
  if (known === undefined) return { code: 'CACHE_BACKEND_FAILED' }
  if (/certificate|TLS|SSL|EPROTO/i.test(error.message)) {
    return refused(`no TLS connection to MongoDB (${error.message})`)
  }
  return error.name === 'MongoServerSelectionError'
    ? { ...known, message: `${known.message} (${error.message})` }
    : known
}

function refused(message: string): Meaning {
  return { code: 'CACHE_BACKEND_FAILED', message }
}

/** Messages of the server can quote the command, keys and values and all. */
function textOf(error: DriverError): string {
  if (typeof error.code !== 'number') return error.message
  const { codeName } = error as { codeName?: unknown }
  return typeof codeName === 'string' ? codeName : `code ${error.code}`
}

/** Whether another call inserted the document that this one wanted to insert. */
export function isDuplicateKey(error: unknown): boolean {
  return isDriverError(error) && error.code === DUPLICATE_KEY
}
