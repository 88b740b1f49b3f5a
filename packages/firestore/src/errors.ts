import { type CacheErrorFields, type DriverError, isDriverError, withoutDetails } from '@cachekit/core'

type Meaning = Pick<CacheErrorFields, 'code' | 'message' | 'retryable' | 'outcome'>

/** The status codes of gRPC (https://grpc.io/docs/guides/status-codes/) that this package tells apart. */
export const Status = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

/**
 * Added to the codes that a client of ours reports. The driver decides by the code whether to send a call again, and
 * sends none again whose code it does not know.
 */
export const HIDDEN = 100

/** What a status means. Where there is no outcome, a write may have been applied. */
const MEANINGS: Readonly<Record<number, Meaning>> = {
  [Status.CANCELLED]: { code: 'CACHE_UNAVAILABLE', message: 'the connection to Firestore was given up' },
  [Status.UNKNOWN]: { code: 'CACHE_UNAVAILABLE', message: 'Firestore, or something before it, failed' },
  [Status.INVALID_ARGUMENT]: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'Firestore refused the request as invalid; the error of the driver is the cause',
    outcome: 'not-applied',
  },
  [Status.DEADLINE_EXCEEDED]: { code: 'CACHE_TIMEOUT', message: 'Firestore did not answer in time' },
  [Status.NOT_FOUND]: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'there is no such Firestore database: check projectId and databaseId, or create it',
    outcome: 'not-applied',
  },
  [Status.PERMISSION_DENIED]: {
    code: 'CACHE_BACKEND_FAILED',
    message:
      'Firestore denies access: "Permissions" in the README of @cachekit/firestore has the role that the account needs',
    outcome: 'not-applied',
  },
  [Status.RESOURCE_EXHAUSTED]: {
    code: 'CACHE_UNAVAILABLE',
    message: 'a quota of Firestore is exhausted',
    outcome: 'not-applied',
  },
  [Status.FAILED_PRECONDITION]: {
    code: 'CACHE_BACKEND_FAILED',
    message:
      'Firestore cannot do this as it is set up: the database must be in native mode, and the field id keep its index',
    outcome: 'not-applied',
  },
  [Status.ABORTED]: {
    code: 'CACHE_UNAVAILABLE',
    message: 'too many writers wanted the same documents of Firestore at once',
    outcome: 'not-applied',
  },
  [Status.UNIMPLEMENTED]: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'what answers is no Firestore: check host in clientOptions, and FIRESTORE_EMULATOR_HOST',
    outcome: 'not-applied',
  },
  [Status.INTERNAL]: { code: 'CACHE_UNAVAILABLE', message: 'Firestore, or the connection to it, failed' },
  [Status.UNAVAILABLE]: { code: 'CACHE_UNAVAILABLE', message: 'Firestore cannot be reached' },
  [Status.UNAUTHENTICATED]: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'Firestore does not accept the credentials: check those in clientOptions or the environment',
    outcome: 'not-applied',
  },
}

/** What gRPC says when it sent nothing. */
const NOT_SENT = /No connection established|Name resolution failed|Failed to connect/

/** What the authentication library says when no project belongs to the credentials. */
const NO_PROJECT = /Unable to detect a Project Id/

/** What an error of the driver means. Its `cause` is a copy that is safe to print. */
export function toErrorFields(error: unknown): CacheErrorFields | undefined {
  if (!isDriverError(error)) return undefined
  return { ...meaningOf(error), cause: safeCopy(error) }
}

/** The status in an error of the driver; `undefined` if it is not from gRPC. */
export function statusOf(error: unknown): number | undefined {
  if (!isDriverError(error) || typeof error.code !== 'number') return undefined
  return error.code % HIDDEN
}

function meaningOf(error: DriverError): Meaning {
  const status = statusOf(error)
  if (status === undefined) {
    if (NO_PROJECT.test(error.message)) {
      return {
        code: 'CACHE_BACKEND_FAILED',
        message: 'the credentials for Firestore name no project: pass projectId, or set GOOGLE_CLOUD_PROJECT',
        outcome: 'not-applied',
      }
    }
    if (/already been terminated/.test(error.message)) {
      return { code: 'CACHE_UNAVAILABLE', message: 'the Firestore client was terminated', outcome: 'not-applied' }
    }
    return { code: 'CACHE_BACKEND_FAILED' }
  }
  const meaning = MEANINGS[status] ?? { code: 'CACHE_BACKEND_FAILED' }
  return status === Status.UNAVAILABLE && NOT_SENT.test(error.message)
    ? { ...meaning, outcome: 'not-applied' }
    : meaning
}

/** Errors of the authentication library carry whole requests, with the tokens in them. */
export function safeCopy(error: DriverError): Error {
  const message = error.message.replace(/^1(\d\d) undefined/, (_, code) => `${Number(code)} ${nameOf(Number(code))}`)
  const { name, stack, code } = error
  return withoutDetails({ name, message, stack, code: statusOf(error) ?? code })
}

function nameOf(status: number): string {
  return Object.entries(Status).find(([, code]) => code === status)?.[0] ?? 'STATUS'
}
