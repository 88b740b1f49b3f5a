import { type CacheErrorFields, type DriverError, isDriverError, withoutDetails } from '@cachekit/core'

type Meaning = Pick<CacheErrorFields, 'code' | 'message' | 'retryable' | 'outcome'>

const UNAVAILABLE = 'CACHE_UNAVAILABLE'
const FAILED = 'CACHE_BACKEND_FAILED'

const LOGIN = 'PostgreSQL refused the user name or password: check those in url, clientOptions or the PG* variables'
const SHAPE =
  'this table is not one of CacheKit, or was changed: choose another name with the option table. "Storage layout" in the README of @cachekit/postgres has its columns'
const STALE = 'this connection had lost its prepared statements. Behind PgBouncer set preparedStatements: false'
const BOUNCER =
  'PgBouncer takes no statement_timeout for a connection: set preparedStatements: false, or clientOptions: { statement_timeout: false }'

/**
 * What SQLSTATEs mean, by the whole code or by its class, the first two characters. A statement that PostgreSQL answers by
 * an error has been undone, unless the connection itself is what ended.
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const STATES: Readonly<Record<string, Meaning>> = {
  '08': {
    code: UNAVAILABLE,
    message: 'PostgreSQL, or PgBouncer before it, gave the connection up',
    outcome: 'unknown',
  },
  '0A000': {
    code: UNAVAILABLE,
    message: 'the table was changed while this connection knew it; the next one knows it anew',
  },
  '22': { code: FAILED, message: SHAPE },
  '23': { code: FAILED, message: SHAPE },
  '25006': {
    code: UNAVAILABLE,
    message: 'this PostgreSQL server is read-only, as a standby is; CacheKit needs the primary',
  },
  '26000': { code: UNAVAILABLE, message: STALE },
  '28': { code: FAILED, message: LOGIN },
  '28000': { code: FAILED, message: 'PostgreSQL does not let this user connect from here: see its pg_hba.conf' },
  '28P01': { code: FAILED, message: LOGIN },
  '3D000': { code: FAILED, message: 'there is no database of this name: create it, or correct the end of url' },
  '3F000': { code: FAILED, message: 'there is no schema of this name: create it, or let provision do so' },
  '40001': { code: UNAVAILABLE, message: 'too many transactions want this entry at once' },
  '40P01': { code: UNAVAILABLE, message: 'a deadlock with other transactions on this table' },
  '42501': {
    code: FAILED,
    message:
      'the PostgreSQL role may not do this: "Permissions" in the README of @cachekit/postgres has the GRANTs it needs',
  },
  '42P01': {
    code: FAILED,
    message:
      'the table does not exist: leave the option provision on, or create it as "Permissions" in the README of @cachekit/postgres says',
  },
  '42': { code: FAILED, message: SHAPE },
  '42P05': { code: UNAVAILABLE, message: STALE },
  '53': { code: FAILED, message: 'PostgreSQL is out of resources: see its log', retryable: true },
  '53100': { code: FAILED, message: "PostgreSQL's disk is full. Reads still work", retryable: true },
  '53300': {
    code: UNAVAILABLE,
    message: 'PostgreSQL has no connection left (max_connections): lower clientOptions.max',
  },
  '55': { code: UNAVAILABLE, message: 'another session holds a lock that this statement needs' },
  '57014': {
    code: 'CACHE_TIMEOUT',
    message: 'PostgreSQL gave the statement up (statement_timeout, or somebody cancelled it)',
  },
  '57': {
    code: UNAVAILABLE,
    message: 'PostgreSQL ended the connection (a restart, or pg_terminate_backend)',
    outcome: 'unknown',
  },
  '57P03': { code: UNAVAILABLE, message: 'PostgreSQL is starting up or shutting down' },
}

/** What pg says when a connection ended before the answer, or could not be made. */
const LOST = /^Connection terminated|^timeout e|^Client (was closed|has encountered)|^Client network socket/
const LOST_CODES = /^(ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOENT|EADDRNOTAVAIL)/

interface PostgresError extends DriverError {
  readonly severity?: unknown
}

/** The statement did not leave: there was no connection. */
export class NotSentError extends Error {
  constructor(cause: unknown) {
    super('no connection', { cause })
  }
}

/** Whether PostgreSQL has undone a statement for the sake of another one, so that it may simply run again. */
export function isUndone(error: unknown): boolean {
  return isDriverError(error) && (error.code === '40001' || error.code === '40P01')
}

/** Whether the server refused a connection because it has as many as it may have. */
export function hasNoRoom(error: unknown): boolean {
  return error instanceof NotSentError && isDriverError(error.cause) && error.cause.code === '53300'
}

/** Whether the table is not there (any more). */
export function isMissingTable(error: unknown): boolean {
  return isDriverError(error) && error.code === '42P01'
}

/** What an error of pg means. Its `cause` is a copy that is safe to print. */
export function toErrorFields(error: unknown): CacheErrorFields | undefined {
  if (error instanceof NotSentError) {
    const fields = toErrorFields(error.cause)
    return fields && { ...fields, outcome: 'not-applied' }
  }
  return isDriverError(error) ? { ...meaningOf(error), cause: withoutValues(error) } : undefined
}

function meaningOf(error: PostgresError): Meaning {
  const code = String(error.code ?? '')
  if (error.severity !== undefined && /^[0-9A-Z]{5}$/.test(code))
    return { outcome: 'not-applied', ...meaningOfState(error, code) }
  if (error.message === 'Query read timeout')
    return { code: 'CACHE_TIMEOUT', message: 'PostgreSQL did not answer in time' }
  if (error.message.startsWith('received invalid response') || /^ERR_(OUT_OF_RANGE|BUFFER)/.test(code)) {
    return { code: UNAVAILABLE, message: 'what answered does not speak the protocol of PostgreSQL' }
  }
  if (LOST_CODES.test(code)) return { code: UNAVAILABLE, message: `PostgreSQL cannot be reached (${code})` }
  if (LOST.test(error.message)) return { code: UNAVAILABLE, message: 'the connection to PostgreSQL was lost' }
  if (error.message.startsWith('SASL')) return { code: FAILED, message: LOGIN, outcome: 'not-applied' }
  if (/SSL|TLS|CERT/.test(`${code} ${error.message}`)) {
    return {
      code: FAILED,
      message: 'the TLS connection failed: check ssl in clientOptions, or sslmode in url',
      outcome: 'not-applied',
    }
  }
  if (error.message.startsWith('Cannot use a pool after')) {
    return { code: FAILED, message: 'the Pool that was passed as client has been ended', outcome: 'not-applied' }
  }
  return { code: FAILED }
}

function meaningOfState(error: PostgresError, state: string): Meaning {
  if (state === '08P01' && error.message.includes('startup parameter'))
    return { code: FAILED, message: BOUNCER, outcome: 'not-applied' }
  return STATES[state] ?? STATES[state.slice(0, 2)] ?? { code: FAILED, message: `PostgreSQL refused: ${error.message}` }
}

/** PostgreSQL puts whole rows into the detail of some errors, and statements into their context. */
function withoutValues(error: PostgresError): Error {
  const copy = withoutDetails(error, error.message || String(error.code))
  return error.severity === undefined ? copy : Object.assign(copy, { severity: error.severity })
}
