import * as os from 'node:os'
import { CacheError } from '@cachekit/core'
import { type Collection, type Db, MongoClient, type MongoClientOptions } from 'mongodb'

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

/** A stored entry. */
export interface EntryDocument {
  readonly _id: string
  /** The bytes, or the safe integer that they spell: that makes a counter. */
  readonly value: Uint8Array | number
  readonly expiresAt?: Date
  /** Of a `compareAndSet` under way whose two values do not fit into one command. */
  readonly mark?: string
}

/** Reads what was acknowledged. */
export const STRONG = { readConcern: { level: 'majority' }, readPreference: 'primary' } as const
const EVENTUAL = { readConcern: { level: 'local' }, readPreference: 'secondaryPreferred' } as const

const DEFAULT_URL = 'mongodb://127.0.0.1:27017'
const DATABASE_IN_URL = /^[^:]+:\/\/[^/?]+\/([^?]+)/

/** The client of a backend, its own or one passed in, and the collection of the entries. */
export class MongoConnection {
  /** Where the entries are, once `open()` has resolved. */
  collection!: Collection<EntryDocument>
  readonly #options: ConnectionOptions
  readonly #timeout: number
  readonly #database: string
  /** A client of ours that no attempt to connect has spoilt yet. */
  #own: MongoClient | undefined
  /** One of our own for the client: two backends may share it. */
  readonly #ignore = (): void => {}

  /**
   * @param timeout Milliseconds that a call of the backend has.
   * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. Does no I/O.
   */
  constructor(options: ConnectionOptions, timeout: number) {
    this.#options = options
    this.#timeout = timeout
    const { client, url, clientOptions, collection, reads } = options
    if (client === undefined) {
      this.#own = this.#newClient()
    } else {
      if (url !== undefined || clientOptions !== undefined) {
        throw invalid('Pass client alone, without url and clientOptions: it is already configured.')
      }
      if (typeof client?.db !== 'function') throw invalid('client must be a MongoClient.')
    }
    // Checked by the driver above.
    const inUrl = DATABASE_IN_URL.exec(url ?? '')?.[1]
    this.#database = options.database ?? (inUrl === undefined ? 'cachekit' : decodeURIComponent(inUrl))
    checkName('database', this.#database, /[\0/\\. "$]/)
    checkName('collection', collection ?? 'cachekit', /[\0$]|^system\.|^\.|\.$|\.\./)
    if (reads !== undefined && reads !== 'strong' && reads !== 'eventual') {
      throw invalid(`reads must be 'strong' or 'eventual', not ${JSON.stringify(reads)}.`)
    }
  }

  /** Connects, if the client is ours. One whose first attempt has failed is of no use any more: the next has a new one. */
  async open(): Promise<void> {
    const { client } = this.#options
    if (client !== undefined) {
      client.off('error', this.#ignore)
      client.on('error', this.#ignore)
      this.collection = this.#collectionOf(client.db(this.#database) as Db)
      return
    }
    this.#own ??= this.#newClient()
    const own = this.#own
    try {
      await own.connect()
    } catch (error) {
      if (this.#own === own) this.#own = undefined
      await own.close()
      throw error
    }
    this.collection = this.#collectionOf(own.db(this.#database))
  }

  /** Frees what is ours. */
  async close(): Promise<void> {
    this.#options.client?.off('error', this.#ignore)
    await this.#own?.close()
  }

  #newClient(): MongoClient {
    const { url = DEFAULT_URL, clientOptions } = this.#options
    if (typeof url !== 'string') throw invalid(`url must be a string like ${DEFAULT_URL}, not a ${typeof url}.`)
    // Less than a call has, so that it can still say why no server was to be found.
    const patience = Math.max(100, Math.floor(0.8 * this.#timeout))
    try {
      return new MongoClient(url, {
        appName: 'cachekit',
        connectTimeoutMS: patience,
        serverSelectionTimeoutMS: patience,
        // A connection that gave no answer for so long ends, and with it whatever it might still answer.
        socketTimeoutMS: this.#timeout,
        // How soon a server that is back is found: the least that the driver allows.
        heartbeatFrequencyMS: 500,
        // The driver would import it dynamically, which Jest's sandbox refuses without a flag: no connection at all.
        runtimeAdapters: { os },
        ...clientOptions,
      }).on('error', this.#ignore)
    } catch (error) {
      // Its message can quote the url, and with it the password.
      throw invalid(`MongoClient refuses url or clientOptions (${(error as Error).name}).`)
    }
  }

  #collectionOf(database: Db): Collection<EntryDocument> {
    return database.collection<EntryDocument>(this.#options.collection ?? 'cachekit', {
      // Whatever the client's defaults are: what was acknowledged stays, and is read.
      writeConcern: { w: 'majority' },
      ...(this.#options.reads === 'eventual' ? EVENTUAL : STRONG),
      promoteBuffers: true,
      promoteLongs: true,
      promoteValues: true,
      useBigInt64: false,
      raw: false,
      fieldsAsRaw: {},
    })
  }
}

function checkName(option: string, name: unknown, illegal: RegExp): void {
  if (typeof name !== 'string' || name === '' || illegal.test(name)) {
    throw invalid(`${option} must be a name that MongoDB takes, not ${JSON.stringify(name)}.`)
  }
}

function invalid(message: string): CacheError {
  return new CacheError({ code: 'CACHE_INVALID_ARGUMENT', message })
}
