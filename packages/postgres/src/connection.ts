import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@cachekit/core'
import type { PostgresPool, PostgresPoolClient, QueryConfig, QueryResult } from './client.ts'
import { type ConnectionOptions, createPool, type OwnPool, passedPool } from './connection-options.ts'
import { hasNoRoom, isUndone, NotSentError } from './errors.ts'
import type { Statement } from './statements.ts'

/** Milliseconds that the server has to close connections after our goodbye. */
const GOODBYE = 250
/** Milliseconds to wait where the server has no room for another connection. */
const ROOM_PAUSE = 50

const ignore = (): void => {}

/** Columns come as the text that the server sent, whatever parsers the process has set for its types. */
const AS_TEXT: QueryConfig['types'] = { getTypeParser: () => text => text }

/**
 * The connections of a backend. A statement has one for itself; one that did not answer, or answered by an error, serves
 * nobody else afterwards, so no late answer can reach another call.
 */
export class PostgresConnection {
  readonly #pool: PostgresPool
  /** `pool`, if it is ours. */
  readonly #own: OwnPool | undefined
  readonly #timeout: number
  /** Those that a statement is running on. */
  readonly #busy = new Set<PostgresPoolClient>()
  /** When the server was last heard of, in monotonic milliseconds. */
  #heard = 0
  #listening = false

  /**
   * @param timeout Milliseconds that a call of the backend has.
   * @param prepared Whether sessions are our own: PgBouncer takes no settings for a session.
   * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. Does no I/O.
   */
  constructor(options: ConnectionOptions, timeout: number, prepared: boolean) {
    this.#timeout = timeout
    this.#own = options.client === undefined ? createPool(options, timeout, prepared ? timeout : undefined) : undefined
    this.#pool = this.#own?.pool ?? passedPool(options)
  }

  /** To be called before the first query: connections that end while they are idle are events, and none of ours. */
  listen(): void {
    if (this.#listening) return
    this.#listening = true
    this.#pool.on('error', ignore)
  }

  /**
   * Runs a statement. Where the server has undone it because of another one (a deadlock, a conflict of serializable
   * transactions), or had no room for a connection, it runs again; else nothing is ever sent twice.
   */
  async query(statement: Statement, values: unknown[] = []): Promise<QueryResult> {
    const end = performance.now() + this.#timeout
    for (;;) {
      try {
        return await this.#query(statement, values, end)
      } catch (error) {
        const full = hasNoRoom(error)
        // Before the call itself times out: its caller is to hear why, and that nothing was applied.
        if (!(full || isUndone(error)) || performance.now() >= end - this.#timeout / 10) throw error
        // One of our own connections may become free sooner than the server has room for another.
        if (full) await sleep(ROOM_PAUSE)
      }
    }
  }

  #query({ name, text }: Statement, values: unknown[], end: number): Promise<QueryResult> {
    return new Promise((resolve, reject) => {
      this.#pool.connect((failure, client, release) => {
        if (client === undefined) return reject(new NotSentError(failure))
        if (performance.now() >= end) {
          release()
          // The caller has heard already that it took too long: this must not reach the store behind its back.
          return reject(new CacheError({ code: 'CACHE_TIMEOUT', message: 'no connection was free in time' }))
        }
        this.#busy.add(client)
        // pg ends the process over an error of a connection that nobody listens to. The query is told, too.
        client.on('error', ignore)
        const config = { text, values, rowMode: 'array', types: AS_TEXT, query_timeout: this.#timeout } as const
        client.query(name === undefined ? config : { ...config, name }, (error, result) => {
          this.#busy.delete(client)
          client.off('error', ignore)
          if (error) {
            release(true)
            reject(error)
          } else {
            this.#heard = performance.now()
            release()
            resolve(result)
          }
        })
      })
    })
  }

  /**
   * A call got no answer. Its own connection is dropped by pg (`query_timeout`). If no other was answered since, all of
   * them are dead: those that wait need not wait any longer.
   */
  drop(): void {
    const now = performance.now()
    if (now - this.#heard < this.#timeout) return
    this.#heard = now // or the next call that gives up would take along those that have just begun
    for (const client of this.#busy) end(client)
  }

  /** Frees what is ours. */
  async close(): Promise<void> {
    if (this.#listening && this.#own === undefined) this.#pool.off('error', ignore)
    for (const client of this.#busy) end(client)
    if (this.#own === undefined) return
    const { pool, clients } = this.#own
    pool.end().catch(ignore)
    const goodbye = new AbortController()
    const gone = [...clients].map(client => new Promise(resolve => client.once('end', resolve)))
    await Promise.race([Promise.all(gone), sleep(GOODBYE, undefined, { signal: goodbye.signal }).catch(ignore)])
    goodbye.abort()
    for (const client of clients) client.connection.stream.destroy()
  }
}

/** Ends a connection at once: pg does not wait for an answer where a statement is running. */
function end(client: PostgresPoolClient): void {
  client.end().catch(ignore)
}
