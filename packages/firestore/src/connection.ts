import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@cachekit/core'
import type { Settings } from '@google-cloud/firestore'
import type { FirestoreClient, WriteBatch } from './client.ts'
import { type ConnectionOptions, clientSettings, passedClient } from './connection-options.ts'
import { Status, statusOf } from './errors.ts'
import { OwnClient } from './own-client.ts'

/** Milliseconds before a write that met other writers is sent again, at first and at most. */
const BACKOFF = { first: 10, most: 200 }

/** Milliseconds of silence that a connection is granted at least: to make a new one takes time, too. */
const PATIENCE = 1000

/** The connection of a backend. A client of ours from which nothing is heard any more is replaced by a new one. */
export class FirestoreConnection {
  readonly #passed: FirestoreClient | undefined
  readonly #settings: Settings
  readonly #timeout: number
  readonly #onLost: () => void
  #own: OwnClient | undefined
  #closed = false

  /**
   * @param timeout Milliseconds that a call of the backend has.
   * @param onLost Called when a client of ours has been given up.
   * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. Does no I/O.
   */
  constructor(options: ConnectionOptions, timeout: number, onLost: () => void) {
    this.#timeout = timeout
    this.#onLost = onLost
    this.#passed = passedClient(options)
    this.#settings = clientSettings(options)
    if (this.#passed === undefined) this.#own = this.#create()
  }

  /** Finds out who we are, and asks Firestore for a document that is not there: an answer is all that this is about. */
  async open(ask: (client: FirestoreClient) => Promise<unknown>): Promise<void> {
    if (this.#passed === undefined) {
      this.#own ??= this.#create()
      await this.#own.logIn()
    }
    await this.run(ask)
  }

  /** Runs what one call of the driver does. */
  async run<T>(call: (client: FirestoreClient) => Promise<T>): Promise<T> {
    if (this.#closed) throw new CacheError({ code: 'CACHE_CLOSED', message: 'The connection was closed.' })
    if (this.#passed !== undefined) return call(this.#passed)
    this.#own ??= this.#create()
    return this.#own.run(call)
  }

  /**
   * Applies all writes of `write` or none. Those that met other writers (ABORTED: nothing was applied) are sent again,
   * for as long as a call may take.
   */
  async commit(write: (batch: WriteBatch, client: FirestoreClient) => void): Promise<void> {
    const end = performance.now() + this.#timeout
    for (let delay = BACKOFF.first; ; delay = Math.min(2 * delay, BACKOFF.most)) {
      try {
        await this.run(client => {
          const batch = client.batch()
          write(batch, client)
          return batch.commit()
        })
        return
      } catch (error) {
        if (statusOf(error) !== Status.ABORTED || performance.now() + delay > end) throw error
      }
      await sleep(delay * (0.5 + Math.random() / 2))
    }
  }

  /** Some call got no answer. If nobody did in that time, the connection is taken for dead. */
  timedOut(): void {
    if (this.#own === undefined || this.#own.silence < Math.max(PATIENCE, this.#timeout / 2)) return
    const silent = this.#own
    this.#own = undefined
    this.#onLost()
    silent.end().catch(() => {})
  }

  /** Frees what is ours. */
  async close(): Promise<void> {
    this.#closed = true
    // A call that the driver does not let go of must not hold up the end.
    if (this.#own !== undefined)
      await Promise.race([this.#own.end(), sleep(this.#timeout / 2, undefined, { ref: false })])
  }

  #create(): OwnClient {
    return new OwnClient(this.#settings, this.#timeout)
  }
}
