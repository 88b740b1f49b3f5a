import { CacheError } from '@cachekit/core'
import { type Collection, type Db, MongoClient, type MongoClientOptions } from 'mongodb'

/** What of a `MongoClient` is used, so that one of another copy of the driver fits, too. */
export interface MongoClientLike {
  db(name?: string): unknown
  on(event: 'error', listener: () => void): unknown
  off(event: 'error', listener: () => void): unknown
}

/** Where the entries are. Pass `client`, or `url` and `clientOptions`. */
export interface ConnectionOptions {
  /** A `MongoClient` of yours. It is not closed. */
  readonly client?: MongoClientLike | undefined
  /** Default: `mongodb://127.0.0.1:27017`. */
  readonly url?: string | undefined
  /** Goes unchanged to the constructor of `MongoClient`, before the options that this backend needs. */
  readonly clientOptions?: MongoClientOptions | undefined
  /** Default: the one in the url, else `cachekit`. */
  readonly database?: string | undefined
  /** Default: `cachekit`. */
  readonly collection?: string | undefined
}

/** A stored entry. */
export interface EntryDocument {
  readonly _id: string
  /** The bytes, or the number that they spell: that makes a counter. */
  readonly value: Uint8Array | number
  readonly expiresAt?: Date
}

const DEFAULT_URL = 'mongodb://127.0.0.1:27017'
const DATABASE_IN_URL = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^?]+)/

const ignore = (): void => {}

/** The client of a backend, its own or one passed in, and the collection of the entries. */
export class MongoConnection {
  /** Where the entries are, once `open()` has resolved. */
  collection!: Collection<EntryDocument>
  readonly #passed: MongoClientLike | undefined
  readonly #url: string
  readonly #clientOptions: MongoClientOptions
  readonly #database: string
  readonly #name: string
  #own: MongoClient | undefined
  readonly #timeout: number

  /** @param timeout Milliseconds for one call. @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. */
  constructor(options: ConnectionOptions, timeout: number) {
    const { client, url, clientOptions, database, collection = 'cachekit' } = options
    if (client !== undefined && (url !== undefined || clientOptions !== undefined)) {
      throw invalid('Pass client, or url and clientOptions, not both.')
    }
    if (client !== undefined && typeof client?.db !== 'function') throw invalid('client must be a MongoClient.')
    this.#passed = client
    this.#url = url ?? DEFAULT_URL
    this.#database = database ?? decodeURIComponent(DATABASE_IN_URL.exec(this.#url)?.[1] ?? 'cachekit')
    this.#name = collection
    this.#timeout = timeout
    for (const [option, name] of [
      ['database', this.#database],
      ['collection', collection],
    ]) {
      if (typeof name !== 'string' || name === '' || /[\0$]/.test(name)) {
        throw invalid(`${option} must be a non-empty string without "$" and NUL, not ${JSON.stringify(name)}.`)
      }
    }
    // Less than a call has, so that it can still say that no server was to be found.
    const patience = Math.max(200, Math.floor(0.8 * timeout))
    this.#clientOptions = {
      ...clientOptions,
      appName: clientOptions?.appName ?? 'cachekit',
      connectTimeoutMS: patience,
      serverSelectionTimeoutMS: patience,
      heartbeatFrequencyMS: 1000,
    }
    // The driver checks url and options in its constructor, which does no I/O: so they are refused at once.
    if (client === undefined) this.#own = this.#newClient()
  }

  /** Connects. A client whose connecting has failed is of no use any more, so each attempt has a new one. */
  async open(reads: 'strong' | 'eventual'): Promise<void> {
    if (this.#passed !== undefined) {
      this.#passed.off('error', ignore)
      this.#passed.on('error', ignore)
      this.collection = this.#collection(this.#passed.db(this.#database) as Db, reads)
      return
    }
    const client = this.#own ?? this.#newClient()
    this.#own = client
    client.on('error', ignore)
    try {
      await client.connect()
    } catch (error) {
      if (this.#own === client) this.#own = undefined
      void client.close().catch(ignore)
      throw error
    }
    this.collection = this.#collection(client.db(this.#database), reads)
  }

  async close(): Promise<void> {
    this.#passed?.off('error', ignore)
    await this.#own?.close()
  }

  #newClient(): MongoClient {
    try {
      return new MongoClient(this.#url, this.#clientOptions)
    } catch (error) {
      // The driver's message can quote the url, and with it the password.
      throw invalid(`url or clientOptions are not what MongoClient takes (${(error as Error).name}).`)
    }
  }

  #collection(database: Db, reads: 'strong' | 'eventual'): Collection<EntryDocument> {
    return database.collection<EntryDocument>(this.#name, {
      // Both away from the defaults of a passed client: what was acknowledged is read, and stays.
      writeConcern: { w: 'majority' },
      readConcern: { level: reads === 'strong' ? 'majority' : 'local' },
      readPreference: reads === 'strong' ? 'primary' : 'secondaryPreferred',
      promoteBuffers: true,
      promoteLongs: true,
      promoteValues: true,
      ignoreUndefined: true,
      // Ends an operation, and the connection that it waits at, so that no late answer is left there.
      timeoutMS: this.#timeout,
    })
  }
}

function invalid(message: string): CacheError {
  return new CacheError({ code: 'CACHE_INVALID_ARGUMENT', message })
}
