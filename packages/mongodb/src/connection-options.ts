import * as os from 'node:os'
import { describeArgument, invalidArgument } from '@cachekit/core'
import { MongoClient, type MongoClientOptions } from 'mongodb'

/** What of a `MongoClient` is used, so that one of another copy of the driver fits, too. */
export interface MongoClientLike {
  db(name: string): unknown
  on(event: 'error', listener: () => void): unknown
  off(event: 'error', listener: () => void): unknown
}

/** Where the entries are. Without `client` and `url` it connects to `mongodb://127.0.0.1:27017`. */
export interface ConnectionOptions {
  /**
   * A `MongoClient` of yours. It is never closed or replaced; it gets an `error` listener, which `close()` removes. Its
   * concerns, read preference and BSON options do not matter, its timeouts do.
   */
  readonly client?: MongoClientLike | undefined
  /** `mongodb://user:password@host:port/database?replicaSet=name`, or `mongodb+srv://`. Default: `mongodb://127.0.0.1:27017`. */
  readonly url?: string | undefined
  /** Further options for the constructor of `MongoClient`: TLS, pool sizes. They win over those in `url`. */
  readonly clientOptions?: MongoClientOptions | undefined
  /** Default: the one in `url`, else `cachekit`. */
  readonly database?: string | undefined
  /** Default: `cachekit`. */
  readonly collection?: string | undefined
  /**
   * `strong`: what a majority of the replica set has, read from the primary. `eventual`: from secondaries where there are
   * any, which lag behind. Default: `strong`.
   */
  readonly reads?: 'strong' | 'eventual' | undefined
}

const DEFAULT_URL = 'mongodb://127.0.0.1:27017'
const DATABASE_IN_URL = /^[^:]+:\/\/[^/?]+\/([^?]+)/

/**
 * A client as the options say, unconnected.
 *
 * @param timeout Milliseconds that a call of the backend has.
 * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit.
 */
export function createClient({ url = DEFAULT_URL, clientOptions }: ConnectionOptions, timeout: number): MongoClient {
  if (typeof url !== 'string') throw invalidArgument(`url must be a string like ${DEFAULT_URL}, not a ${typeof url}.`)
  // Less than a call has, so that it can still say why no server was to be found.
  const patience = Math.max(100, Math.floor(0.8 * timeout))
  try {
    return new MongoClient(url, {
      appName: 'cachekit',
      connectTimeoutMS: patience,
      serverSelectionTimeoutMS: patience,
      // A connection that gave no answer for so long ends, and with it whatever it might still answer.
      socketTimeoutMS: timeout,
      // How soon a server that is back is found: the least that the driver allows.
      heartbeatFrequencyMS: 500,
      // The driver would import it dynamically, which Jest's sandbox refuses without a flag: no connection at all.
      runtimeAdapters: { os },
      ...clientOptions,
    })
  } catch (error) {
    // Its message can quote the url, and with it the password.
    throw invalidArgument(`MongoClient refuses url or clientOptions (${(error as Error).name}).`)
  }
}

/** @throws `CACHE_INVALID_ARGUMENT` unless `client` alone is given, and is one. */
export function passedClient({ client, url, clientOptions }: ConnectionOptions): MongoClientLike {
  if (url !== undefined || clientOptions !== undefined) {
    throw invalidArgument('Pass client alone, without url and clientOptions: it is already configured.')
  }
  if (typeof client?.db !== 'function') throw invalidArgument('client must be a MongoClient.')
  return client
}

/** Where the entries are: what the options say, or the url, which the driver has accepted. */
export function placeOf({ url = '', database, collection = 'cachekit' }: ConnectionOptions): {
  readonly database: string
  readonly collection: string
} {
  const inUrl = DATABASE_IN_URL.exec(url)?.[1]
  const place = { database: database ?? (inUrl === undefined ? 'cachekit' : decodeURIComponent(inUrl)), collection }
  assertName('database', place.database, /[\0/\\. "$]/)
  assertName('collection', place.collection, /[\0$]|^system\.|^\.|\.$|\.\./)
  return place
}

function assertName(option: string, name: unknown, illegal: RegExp): void {
  if (typeof name === 'string' && name !== '' && !illegal.test(name)) return
  throw invalidArgument(`${option} must be a name that MongoDB takes, not ${describeArgument(name)}.`)
}
