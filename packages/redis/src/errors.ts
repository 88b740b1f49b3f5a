import { type CacheErrorFields, type DriverError, isDriverError, withoutDetails } from '@cachekit/core'

type Meaning = Pick<CacheErrorFields, 'code' | 'message' | 'retryable' | 'outcome'>

const LOGIN = 'Redis refused the user name or password: check those in url or clientOptions'
const REDIRECTED = 'this server is part of a Redis Cluster: pass its nodes as `cluster` instead of `url`'

/**
 * What error replies mean, by their first word. A command that is answered by an error was not applied.
 *
 * The words are those of `src/server.c`, `src/cluster.c`, `src/acl.c` and `src/script.c` of Redis.
 */
const REPLIES: Readonly<Record<string, Meaning>> = {
  WRONGTYPE: {
    code: 'CACHE_CORRUPT_ENTRY',
    message: 'this key holds a list, hash or other structure that CacheKit did not write; set or delete replaces it',
  },
  OOM: {
    code: 'CACHE_BACKEND_FAILED',
    message:
      'Redis is full and may not evict: raise maxmemory, or set a maxmemory-policy such as allkeys-lru. Reads still work',
    retryable: true,
  },
  MISCONF: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'Redis refuses writes because it cannot save to disk: see its log. Reads still work',
    retryable: true,
  },
  NOREPLICAS: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'Redis refuses writes because too few replicas are connected (min-replicas-to-write). Reads still work',
    retryable: true,
  },
  READONLY: {
    code: 'CACHE_UNAVAILABLE',
    message: 'this Redis server is a read-only replica; CacheKit needs the master',
  },
  LOADING: { code: 'CACHE_UNAVAILABLE', message: 'Redis is still loading its data from disk' },
  BUSY: { code: 'CACHE_UNAVAILABLE', message: 'Redis is busy with a script that somebody else runs' },
  MASTERDOWN: { code: 'CACHE_UNAVAILABLE', message: 'this Redis server is a replica that has lost its master' },
  CLUSTERDOWN: { code: 'CACHE_UNAVAILABLE', message: 'the Redis Cluster is down: some of its slots have no master' },
  TRYAGAIN: { code: 'CACHE_UNAVAILABLE', message: 'the slot of this key is being moved to another node' },
  MOVED: { code: 'CACHE_BACKEND_FAILED', message: REDIRECTED },
  ASK: { code: 'CACHE_BACKEND_FAILED', message: REDIRECTED },
  WRONGPASS: { code: 'CACHE_BACKEND_FAILED', message: LOGIN },
  NOAUTH: { code: 'CACHE_BACKEND_FAILED', message: 'Redis asks for a password: put one into url or clientOptions' },
  NOPERM: {
    code: 'CACHE_BACKEND_FAILED',
    message: 'the Redis user may not do this: "Permissions" in the README of @cachekit/redis has the ACL line it needs',
  },
  DENIED: { code: 'CACHE_BACKEND_FAILED', message: 'Redis is in protected mode: give it a password' },
}

/** What replies that begin with the general word ERR mean, by what follows. */
const GENERAL_REPLIES: readonly (readonly [pattern: RegExp, meaning: Meaning])[] = [
  [/max number of clients/, { code: 'CACHE_UNAVAILABLE', message: 'Redis has no connection left (maxclients)' }],
  [/invalid password|AUTH/, { code: 'CACHE_BACKEND_FAILED', message: LOGIN }],
  [/DB index/, { code: 'CACHE_BACKEND_FAILED', message: 'Redis has no database of that number: check the end of url' }],
]

/** What ioredis says when it did not send a command at all. */
const NOT_SENT = /Stream isn't writeable|Cluster isn't ready|^None of startup nodes|sentinels are unreachable/

/** What ioredis says when a connection ended before the answer. */
const LOST = /^Connection is closed|^Command aborted|max retries per request|^Cluster is|^Failed to refresh slots/

/** Of a Cluster that could not be reached: why its last node could not. */
interface ClusterError extends DriverError {
  readonly lastNodeError?: unknown
}

/** What an error of ioredis means. Its `cause` is a copy that is safe to print. */
export function toErrorFields(error: unknown): CacheErrorFields | undefined {
  if (!isDriverError(error)) return undefined
  const { lastNodeError } = error as ClusterError
  const root = isDriverError(lastNodeError) ? lastNodeError : error
  return { ...meaningOf(root), cause: withoutDetails(root, withoutEcho(root.message) || String(root.code)) }
}

function meaningOf(error: DriverError): Meaning {
  if (error.name === 'ReplyError') return { outcome: 'not-applied', ...meaningOfReply(error.message) }
  // Why a redirection did not end, or no Sentinel knew a master, is at the end of the message.
  const last = /Last error: (?:ReplyError: )?(.*)$/s.exec(error.message)?.[1]
  if (last !== undefined) return { code: 'CACHE_UNAVAILABLE', ...knownReply(last), outcome: 'not-applied' }
  if (error.message === 'Command timed out') return { code: 'CACHE_TIMEOUT', message: "the client's commandTimeout" }
  if (error.name === 'ParserError') {
    return { code: 'CACHE_UNAVAILABLE', message: 'what answered does not speak the protocol of Redis' }
  }
  if (NOT_SENT.test(error.message)) {
    return { code: 'CACHE_UNAVAILABLE', message: 'there is no connection to Redis', outcome: 'not-applied' }
  }
  if (LOST.test(error.message)) return { code: 'CACHE_UNAVAILABLE', message: 'the connection to Redis was lost' }
  if (typeof error.code !== 'string') return { code: 'CACHE_BACKEND_FAILED' }
  if (/CERT|TLS|SSL|EPROTO|SIGNATURE/.test(error.code)) {
    return { code: 'CACHE_BACKEND_FAILED', message: `no TLS connection to Redis (${error.code})` }
  }
  return { code: 'CACHE_UNAVAILABLE', message: `Redis cannot be reached (${error.message || error.code})` }
}

function meaningOfReply(message: string): Meaning {
  return knownReply(message) ?? { code: 'CACHE_BACKEND_FAILED', message: `Redis refused: ${withoutEcho(message)}` }
}

function knownReply(message: string): Meaning | undefined {
  // Before Redis 7 the error of a command in a script comes behind "ERR Error running script (...): @user_script:1: ".
  const word = /^(?:ERR Error running script.*?: -?)?([A-Z]+)\b/.exec(message)?.[1]
  if (word === undefined) return undefined
  return REPLIES[word] ?? GENERAL_REPLIES.find(([pattern]) => pattern.test(message))?.[1]
}

/** Redis repeats the arguments of a command that it does not know. */
function withoutEcho(message: string): string {
  return message.replace(/,? with args beginning with.*$/s, '')
}
