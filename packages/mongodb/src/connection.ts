import { setTimeout as sleep } from 'node:timers/promises'
import { describeArgument, invalidArgument } from '@cachekit/core'
import type { Collection, Db, MongoClient } from 'mongodb'
import {
  type ConnectionOptions,
  createClient,
  type MongoClientLike,
  passedClient,
  placeOf,
} from './connection-options.ts'
import type { EntryDocument } from './schema.ts'

/** Reads what was acknowledged. */
export const STRONG = { readConcern: { level: 'majority' }, readPreference: 'primary' } as const
const EVENTUAL = { readConcern: { level: 'local' }, readPreference: 'secondaryPreferred' } as const

/** The client of a backend, its own or one passed in, and the collection of the entries. */
export class MongoConnection {
  /** Where the entries are, once `open()` has resolved. */
  collection!: Collection<EntryDocument>
  readonly #options: ConnectionOptions
  readonly #timeout: number
  readonly #place: ReturnType<typeof placeOf>
  readonly #passed: MongoClientLike | undefined
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
    if (options.client === undefined) this.#own = this.#create()
    else this.#passed = passedClient(options)
    this.#place = placeOf(options)
    const { reads } = options
    if (reads !== undefined && reads !== 'strong' && reads !== 'eventual') {
      throw invalidArgument(`reads must be 'strong' or 'eventual', not ${describeArgument(reads)}.`)
    }
  }

  /** Connects, if the client is ours. One whose first attempt has failed is of no use any more: the next has a new one. */
  async open(): Promise<void> {
    const passed = this.#passed
    if (passed !== undefined) {
      passed.off('error', this.#ignore)
      passed.on('error', this.#ignore)
      this.collection = this.#collectionOf(passed.db(this.#place.database) as Db)
      return
    }
    this.#own ??= this.#create()
    const own = this.#own
    try {
      await own.connect()
    } catch (error) {
      if (this.#own === own) this.#own = undefined
      await own.close()
      throw error
    }
    this.collection = this.#collectionOf(own.db(this.#place.database))
  }

  /** Frees what is ours. */
  async close(): Promise<void> {
    this.#passed?.off('error', this.#ignore)
    // The driver connects once more to end its sessions: a server that does not answer must not hold up the end.
    await Promise.race([this.#own?.close(), sleep(0.9 * this.#timeout, undefined, { ref: false })])
  }

  #create(): MongoClient {
    return createClient(this.#options, this.#timeout).on('error', this.#ignore)
  }

  #collectionOf(database: Db): Collection<EntryDocument> {
    return database.collection<EntryDocument>(this.#place.collection, {
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
