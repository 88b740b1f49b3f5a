import { CacheError, type CacheErrorFields } from '@cachekit/core'
import type { Reply } from './protocol.ts'

type Meaning = Pick<CacheErrorFields, 'code' | 'message' | 'retryable' | 'outcome'>

/**
 * What the error lines of a server mean. A command that is answered by one was not applied.
 *
 * They are those of `proto_text.c`, `memcached.c` and `items.c` of Memcached.
 */
const REPLIES: readonly (readonly [pattern: RegExp, meaning: Meaning])[] = [
  [
    /^SERVER_ERROR object too large/,
    {
      code: 'CACHE_VALUE_TOO_LARGE',
      message:
        'the server takes no item of this size (-I), and says so only now: an entry that was under this key is gone',
    },
  ],
  [
    /^SERVER_ERROR out of memory/,
    {
      code: 'CACHE_BACKEND_FAILED',
      message: 'Memcached is full and may not evict (-M), or has no room for a value of this size: raise -m',
      retryable: true,
    },
  ],
  [
    /^ERROR Too many open connections/,
    { code: 'CACHE_UNAVAILABLE', message: 'Memcached has no connection left: raise -c' },
  ],
  [
    /^CLIENT_ERROR unauthenticated/,
    {
      code: 'CACHE_BACKEND_FAILED',
      message: 'this Memcached asks for a user and a password (-Y), which the driver cannot give',
    },
  ],
  [
    /^ERROR/,
    {
      code: 'CACHE_BACKEND_FAILED',
      message: 'the server does not know a command that every Memcached since 1.4 knows',
    },
  ],
  [/^SERVER_ERROR/, { code: 'CACHE_BACKEND_FAILED', message: 'Memcached failed', retryable: true }],
]

/** The error for a line with which a server refused a command; `undefined` for any other line. */
export function replyError(line: string): CacheError | undefined {
  if (!/^(?:ERROR|CLIENT_ERROR|SERVER_ERROR)/.test(line)) return undefined
  const meaning = REPLIES.find(([pattern]) => pattern.test(line))?.[1] ?? { code: 'CACHE_BACKEND_FAILED' }
  return new CacheError({
    message: 'Memcached refused the command',
    outcome: 'not-applied',
    ...meaning,
    cause: new Error(line),
  })
}

/** @throws what {@link replyError} makes of the reply. */
export function assertDone({ line }: Pick<Reply, 'line'>): void {
  const error = replyError(line)
  if (error !== undefined) throw error
}

/** No command was sent, because there is no connection. */
export function notConnected(address: string, cause: Error): CacheError {
  const reason = (cause as NodeJS.ErrnoException).code ?? cause.message
  return new CacheError({
    code: 'CACHE_UNAVAILABLE',
    message: `Memcached at ${address} cannot be reached (${reason})`,
    outcome: 'not-applied',
    cause,
  })
}

/** The connection ended before the answer came. */
export function connectionLost(address: string, cause: Error | undefined): CacheError {
  return new CacheError({
    code: 'CACHE_UNAVAILABLE',
    message: `the connection to Memcached at ${address} was lost`,
    cause: cause ?? new Error('The server closed the connection.'),
  })
}

/** What answered said something that no Memcached says. */
export function notMemcached(address: string, cause: unknown): CacheError {
  return new CacheError({
    code: 'CACHE_UNAVAILABLE',
    message: `what answers at ${address} does not speak the text protocol of Memcached`,
    cause,
  })
}
