import { type CacheErrorFields, type DriverError, isDriverError } from '@cachekit/core'

type Meaning = Pick<CacheErrorFields, 'code' | 'message' | 'retryable' | 'outcome'>

const CREDENTIALS =
  'AWS does not accept these credentials: check the access key, its secret, the session, the region and the clock of this machine'
const THROTTLED = 'DynamoDB throttles this table: raise its capacity, or spread the load over time'

/**
 * What the errors of DynamoDB mean, by name. A request that is answered by one of them was not applied.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html and
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html
 */
const REFUSALS: Readonly<Record<string, Meaning>> = {
  ResourceNotFoundException: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'there is no such table in this region: check table, region and endpoint, or let provision create it',
  },
  AccessDeniedException: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'AWS denies this: "Permissions" in the README of @cachekit/dynamodb has the policy that is needed',
  },
  UnrecognizedClientException: { code: 'CACHE_BACKEND_FAILED', message: CREDENTIALS },
  InvalidClientTokenId: { code: 'CACHE_BACKEND_FAILED', message: CREDENTIALS },
  InvalidSignatureException: { code: 'CACHE_BACKEND_FAILED', message: CREDENTIALS },
  IncompleteSignatureException: { code: 'CACHE_BACKEND_FAILED', message: CREDENTIALS },
  MissingAuthenticationTokenException: { code: 'CACHE_BACKEND_FAILED', message: CREDENTIALS },
  OptInRequired: { code: 'CACHE_BACKEND_FAILED', message: 'this AWS account has not enabled this region' },
  ExpiredTokenException: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'the session of these AWS credentials is over: renew them',
    retryable: true,
  },
  ResourceInUseException: { code: 'CACHE_UNAVAILABLE', message: 'the table is being created or changed' },
  TableNotFoundException: { code: 'CACHE_BACKEND_FAILED', message: 'there is no such table in this region' },
  TransactionConflictException: {
    code: 'CACHE_UNAVAILABLE',
    message: 'a transaction of somebody else holds this item',
  },
  ReplicatedWriteConflictException: { code: 'CACHE_UNAVAILABLE', message: 'another region is writing this item' },
  LimitExceededException: { code: 'CACHE_UNAVAILABLE', message: 'this account changes too many tables at a time' },
  ProvisionedThroughputExceededException: { code: 'CACHE_UNAVAILABLE', message: THROTTLED },
  ThrottlingException: { code: 'CACHE_UNAVAILABLE', message: THROTTLED },
  RequestLimitExceeded: { code: 'CACHE_UNAVAILABLE', message: THROTTLED },
}

const THROTTLES = ['ProvisionedThroughputExceededException', 'ThrottlingException', 'RequestLimitExceeded']

/** Errors of the network before a connection: nothing was sent. */
const NOT_SENT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EMFILE)$/

const NO_CONNECTION: Meaning = {
  code: 'CACHE_UNAVAILABLE',
  message: 'no connection to DynamoDB was made in time',
  outcome: 'not-applied',
}

interface SdkError extends DriverError {
  readonly $metadata?: { readonly httpStatusCode?: number | undefined } | undefined
}

/** The error for what DynamoDB left unprocessed until our patience was at its end. */
export const unprocessed: CacheErrorFields = { code: 'CACHE_UNAVAILABLE', message: THROTTLED, outcome: 'not-applied' }

/** What an error of the SDK means. */
export function toErrorFields(error: unknown): CacheErrorFields | undefined {
  return isDriverError(error) ? meaningOf(error) : undefined
}

function meaningOf(error: SdkError): Meaning {
  const { name, message, code } = error
  if (name === 'ValidationException') return { ...meaningOfValidation(message), outcome: 'not-applied' }
  const refusal = REFUSALS[name]
  if (refusal !== undefined) return { outcome: 'not-applied', ...refusal }
  if (isServerFault(error)) return { code: 'CACHE_UNAVAILABLE', message: `DynamoDB failed (${name})` }
  // The SDK calls errors of sockets by this name, too; those have a code.
  const timedOut = name === 'TimeoutError' && code === undefined
  if (timedOut && /did not establish a connection/.test(message)) return NO_CONNECTION
  if (timedOut || name === 'AbortError') return { code: 'CACHE_TIMEOUT', message: 'no answer from DynamoDB in time' }
  if (name === 'CredentialsProviderError') {
    return {
      code: 'CACHE_BACKEND_FAILED',
      message: 'the AWS SDK found no credentials: set AWS_ACCESS_KEY_ID, AWS_PROFILE or a role, or pass clientOptions',
      outcome: 'not-applied',
    }
  }
  if (message === 'Region is missing') {
    return {
      code: 'CACHE_BACKEND_FAILED',
      message: 'the AWS SDK found no region: set AWS_REGION or pass region',
      outcome: 'not-applied',
    }
  }
  if (name === 'SyntaxError' || error.$metadata?.httpStatusCode !== undefined) {
    const status = error.$metadata?.httpStatusCode
    // A proxy, say, or a hotel's page: its answers have no name that DynamoDB gave.
    return status === 200 || name === 'SyntaxError' || name === 'Unknown'
      ? { code: 'CACHE_UNAVAILABLE', message: 'what answered does not speak the protocol of DynamoDB' }
      : { code: 'CACHE_BACKEND_FAILED', message: `DynamoDB refused: ${name}`, outcome: 'not-applied' }
  }
  if (typeof code !== 'string') return { code: 'CACHE_BACKEND_FAILED' }
  if (/CERT|TLS|SSL|EPROTO|SIGNATURE/.test(code)) {
    return { code: 'CACHE_BACKEND_FAILED', message: `no TLS connection to DynamoDB (${code})` }
  }
  const unreachable: Meaning = { code: 'CACHE_UNAVAILABLE', message: `DynamoDB cannot be reached (${code})` }
  return NOT_SENT.test(code) ? { ...unreachable, outcome: 'not-applied' } : unreachable
}

function meaningOfValidation(message: string): Meaning {
  if (/item size .*exceeded/i.test(message)) {
    return { code: 'CACHE_VALUE_TOO_LARGE', message: 'the entry would take more than the 400 KB of an item' }
  }
  if (/key element does not match the schema|number of conditions on the keys/i.test(message)) {
    return {
      code: 'CACHE_BACKEND_FAILED',
      message: 'this table is not one of CacheKit: its keys must be pk and sk, both S',
    }
  }
  return { code: 'CACHE_BACKEND_FAILED', message: 'DynamoDB refused the request; its error is the cause' }
}

/** The name of an error of the SDK. */
export function nameOf(error: unknown): string | undefined {
  return isDriverError(error) ? error.name : undefined
}

/** Whether DynamoDB refused a request, without applying it, because there are too many. */
export function wasThrottled(error: unknown): boolean {
  return THROTTLES.includes(nameOf(error) ?? '')
}

/** Whether the service failed: nobody knows whether it applied the request. */
export function isServerFault(error: unknown): boolean {
  return isDriverError(error) && ((error as SdkError).$metadata?.httpStatusCode ?? 0) >= 500
}
