import { Socket } from 'node:net'
import { invalidArgument } from '@cachekit/core'
import { Client, type ClientConfig, Pool, type PoolConfig } from 'pg'
import type { PostgresPool } from './client.ts'

/** Twenty processes fit the 100 connections that PostgreSQL has by default. One connection does some 10,000 calls a second. */
const MAX_CONNECTIONS = 4

/** How to reach PostgreSQL: a pool, or what makes one. */
export interface ConnectionOptions {
  /** A `Pool` of pg of yours. It is never ended; it gets an `error` listener, which `close()` removes. */
  readonly client?: PostgresPool | undefined
  /** `postgres://user:password@host:port/database`. Default: the driver's `PGHOST`, `PGUSER`, `PGPASSWORD` and so on. */
  readonly url?: string | undefined
  /** Further options for the constructor of pg's `Pool`: `max` (4 connections), TLS. What `url` says wins. */
  readonly clientOptions?: PoolConfig | undefined
}

/** A pool of ours, and the clients that it has made and that have not ended, those that still connect included. */
export interface OwnPool {
  readonly pool: Pool
  readonly clients: ReadonlySet<Client>
}

/**
 * Makes a pool as the options say, unconnected.
 *
 * @param timeout Milliseconds that an attempt to connect may take, and a call may wait for a free connection.
 * @param statementTimeout Milliseconds after which the server gives a statement up; `undefined` leaves that to the server.
 * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit.
 */
export function createPool(
  { url, clientOptions = {} }: ConnectionOptions,
  timeout: number,
  statementTimeout: number | undefined,
): OwnPool {
  if (typeof clientOptions !== 'object' || clientOptions === null) {
    throw invalidArgument('clientOptions must be an object.')
  }
  if (url !== undefined) assertUrl(url)
  const clients = new Set<Client>()
  const config: PoolConfig = {
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: Math.ceil(timeout),
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    statement_timeout: statementTimeout && Math.ceil(statementTimeout),
    stream: () => new GuardedSocket(),
    ...clientOptions,
    ...(url !== undefined && { connectionString: url }),
    Client: class extends Client {
      constructor(options?: ClientConfig) {
        super(options)
        clients.add(this)
        this.once('end', () => clients.delete(this))
      }
    },
  }
  return { pool: new Pool(config), clients }
}

/** A socket whose reader may fail: pg throws at replies that are no PostgreSQL, which would end the process. */
class GuardedSocket extends Socket {
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== 'data') return super.emit(event as string, ...args)
    try {
      return super.emit('data', ...args)
    } catch (error) {
      this.destroy(error as Error)
      return true
    }
  }
}

/** @throws `CACHE_INVALID_ARGUMENT` unless `client` alone is given, and is a pool. */
export function passedPool({ client, url, clientOptions }: ConnectionOptions): PostgresPool {
  if (url !== undefined || clientOptions !== undefined) {
    throw invalidArgument('Pass client alone, without url and clientOptions: it is already configured.')
  }
  if (typeof client !== 'object' || typeof client?.connect !== 'function' || !('totalCount' in client)) {
    throw invalidArgument('client must be a Pool of pg, version 8.')
  }
  return client
}

/** Never repeats the URL in a message: in one that does not parse, anything may be the password. */
function assertUrl(url: unknown): void {
  const form = 'url must be like postgres://user:password@host:port/database'
  if (typeof url !== 'string') throw invalidArgument(`${form}, not a ${typeof url}.`)
  if (!/^postgres(ql)?:\/\//.test(url)) throw invalidArgument(`${form}. This one begins otherwise.`)
  try {
    // It reads the URL, and does no I/O.
    new Client({ connectionString: url })
  } catch {
    throw invalidArgument(`${form}. pg cannot read this one.`)
  }
}
