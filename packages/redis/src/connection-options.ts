import { invalidArgument } from '@cachekit/core'
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis'
import type { RedisClient } from './client.ts'

/** Those options of ioredis that decide whether a client keeps the promises of a backend. */
type VendorOptions = Pick<RedisOptions, 'keyPrefix' | 'role' | 'autoResendUnfulfilledCommands'> &
  Pick<ClusterOptions, 'redisOptions' | 'scaleReads' | 'retryDelayOnFailover' | 'clusterNodeRetryStrategy'> & {
    readonly readOnly?: boolean
  }

/** Chooses among the overloads of ioredis 6: this type parameter of theirs decides replies that we never ask for. */
type Legacy = { readonly replyMapping?: 'legacy' }

/** How to reach Redis: a client, or what makes one. */
export interface ConnectionOptions {
  /**
   * An ioredis `Redis` or `Cluster` of yours. It is never closed or reconnected; it gets an `error` listener, which
   * `close()` removes. One that has a `keyPrefix`, reads from replicas or sends commands again after a lost connection
   * (ioredis does by default) is refused.
   */
  readonly client?: RedisClient | undefined
  /** `redis://user:password@host:port/database`, or `rediss://` for TLS. Default: `redis://127.0.0.1:6379`. */
  readonly url?: string | undefined
  /** Some nodes of a Redis Cluster, as URLs; the rest is found. User, password and TLS of the first hold for all. */
  readonly cluster?: readonly string[] | undefined
  /** Further options for the constructor of ioredis: Sentinels, TLS, a Unix socket. What `url` says wins. */
  readonly clientOptions?: RedisOptions | ClusterOptions | undefined
}

/**
 * Makes clients as the options say, unconnected ones.
 *
 * @param patience Milliseconds that one attempt to connect may take.
 * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit.
 */
export function clientFactory(options: ConnectionOptions, patience: number): () => Redis | Cluster {
  const { url, cluster, clientOptions = {} } = options
  if (url !== undefined && cluster !== undefined) throw invalidArgument('Pass url or cluster, not both.')
  if (typeof clientOptions !== 'object' || clientOptions === null)
    throw invalidArgument('clientOptions must be an object.')
  const nodeOptions = {
    connectTimeout: patience,
    // A connection that is to end ends now: a frozen server would never answer the FIN.
    disconnectTimeout: 0,
    keepAlive: 30_000,
    maxLoadingRetryTime: 100,
    // CLIENT SETINFO would be one more permission.
    disableClientInfo: true,
    // ioredis would send what was under way again on the next connection.
    autoResendUnfulfilledCommands: false,
  } satisfies RedisOptions
  const create =
    cluster === undefined
      ? singleFactory(url, nodeOptions, clientOptions as RedisOptions, patience)
      : clusterFactory(cluster, nodeOptions, clientOptions as ClusterOptions, patience)
  return () => checked<Redis | Cluster>(create)
}

/** A server, or the master that Sentinels name. */
function singleFactory(
  url: string | undefined,
  nodeOptions: RedisOptions,
  clientOptions: RedisOptions,
  patience: number,
): () => Redis {
  const options = {
    host: '127.0.0.1',
    ...nodeOptions,
    // Commands without a connection fail: RedisConnection connects, and tells those that wait for it apart.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    // A master that became a replica: leave it. The refused command itself is not sent again.
    reconnectOnError: error => error.message.startsWith('READONLY'),
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: patience / 2,
    ...clientOptions,
    lazyConnect: true,
  } satisfies RedisOptions as RedisOptions & Legacy
  if (url === undefined) return () => new Redis(options)
  parseUrl('url', url)
  return () => new Redis(url, options)
}

function clusterFactory(
  cluster: readonly string[],
  nodeOptions: RedisOptions,
  clientOptions: ClusterOptions,
  patience: number,
): () => Cluster {
  if (!Array.isArray(cluster) || cluster.length === 0) throw invalidArgument('cluster must be an array of URLs.')
  const urls = cluster.map(url => parseUrl('cluster', url))
  const [first] = urls as [URL]
  const nodes = urls.map(({ hostname, port }) => ({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
  }))
  const options = {
    clusterRetryStrategy: () => null,
    slotsRefreshTimeout: patience / 2,
    // ioredis would send what was under way again to another node.
    retryDelayOnFailover: 0,
    // A cache rather misses than waits.
    retryDelayOnClusterDown: 0,
    ...clientOptions,
    lazyConnect: true,
    redisOptions: {
      ...nodeOptions,
      ...(first.username && { username: decodeURIComponent(first.username) }),
      ...(first.password && { password: decodeURIComponent(first.password) }),
      ...(first.protocol === 'rediss:' && { tls: {} }),
      ...clientOptions.redisOptions,
    },
  } satisfies ClusterOptions as ClusterOptions & { redisOptions: Legacy }
  return () => new Cluster(nodes, options)
}

/** @throws `CACHE_INVALID_ARGUMENT` unless `client` alone is given and does what the contract needs. */
export function passedClient({ client, url, cluster, clientOptions }: ConnectionOptions): RedisClient {
  if (url !== undefined || cluster !== undefined || clientOptions !== undefined) {
    throw invalidArgument('Pass client alone, without url, cluster and clientOptions: it is already configured.')
  }
  if (typeof client !== 'object' || typeof client?.getBuffer !== 'function') {
    throw invalidArgument('client must be a Redis or Cluster of ioredis, version 5 or 6.')
  }
  return checked(() => client)
}

/** What `create` returns, unless it cannot keep the promises of a backend. */
function checked<T extends Pick<RedisClient, 'options' | 'isCluster'>>(create: () => T): T {
  let client: T
  try {
    client = create()
  } catch (error) {
    throw invalidArgument(`ioredis refuses these options: ${(error as Error).message}`)
  }
  const options = client.options as VendorOptions
  const { redisOptions } = options
  if (options.keyPrefix || redisOptions?.keyPrefix) {
    throw invalidArgument('A client with a keyPrefix cannot scan for its keys: use the option namespace instead.')
  }
  if (
    options.readOnly ||
    options.role === 'slave' ||
    (client.isCluster && (options.scaleReads ?? 'master') !== 'master')
  ) {
    throw invalidArgument('A client that reads from replicas would answer what was overwritten or deleted before.')
  }
  const resends = client.isCluster
    ? (options.retryDelayOnFailover ?? 0) > 0 ||
      (options.clusterNodeRetryStrategy && redisOptions?.autoResendUnfulfilledCommands !== false)
    : options.autoResendUnfulfilledCommands
  if (resends) {
    throw invalidArgument(
      'This client sends commands again after a lost connection, as ioredis does by default: increments would be ' +
        'applied twice, and answers can be mixed up. Pass url and let CacheKit connect, or a client that does not: ' +
        (client.isCluster
          ? 'new Cluster(nodes, { retryDelayOnFailover: 0 }).'
          : 'client.duplicate({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 }).'),
    )
  }
  return client
}

/** Never repeats the URL in a message: in one that does not parse, anything may be the password. */
function parseUrl(option: string, url: unknown): URL {
  const form = 'redis://user:password@host:port/database (or rediss:// for TLS)'
  if (typeof url !== 'string') throw invalidArgument(`${option} must be like ${form}, not a ${typeof url}.`)
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const known = parsed?.protocol === 'redis:' || parsed?.protocol === 'rediss:'
  if (parsed === undefined || !known || !/^\/?\d*$/.test(parsed.pathname)) {
    throw invalidArgument(`${option} must be like ${form}.`)
  }
  return parsed
}
