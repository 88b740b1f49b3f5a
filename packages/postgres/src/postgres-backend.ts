import {
  addToCounter,
  type BackendEntry,
  type BackendOptions,
  type BackendSupports,
  type CacheErrorFields,
  type Deadline,
  describeArgument,
  fitId,
  invalidArgument,
  NativeBackend,
  type NewEntry,
  type Progress,
  type StoredEntry,
} from '@cachekit/core'
import { byteaArray } from './bytea-array.ts'
import type { QueryResult } from './client.ts'
import { PostgresConnection } from './connection.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { isMissingTable, toErrorFields } from './errors.ts'
import { createTable, quoteIdentifier } from './schema.ts'
import { type Operation, type Statement, statements } from './statements.ts'
import { Sweep, type SweepOptions } from './sweep.ts'

/** Options of {@link PostgresBackend}. Without `client` and `url` it connects as the driver's `PG*` variables say. */
export interface PostgresBackendOptions extends BackendOptions, ConnectionOptions {
  /** The schema of the table. Default: `'public'`. */
  readonly schema?: string | undefined
  /** The table. Default: `'cachekit'`. */
  readonly table?: string | undefined
  /** Whether to create schema and table where they are missing. Default: `true`. */
  readonly provision?: boolean | undefined
  /** How expired entries are removed; `false` leaves it to others. Default: every minute, 1000 a statement. */
  readonly sweep?: SweepOptions | false | undefined
  /**
   * Whether to create the table `UNLOGGED`: writes cost less, and a crash of the server empties it. It does not change a
   * table that is there. Default: `false`.
   */
  readonly unlogged?: boolean | undefined
  /** Whether connections keep statements prepared. Turn it off behind PgBouncer. Default: `true`. */
  readonly preparedStatements?: boolean | undefined
}

const SUPPORTS: BackendSupports = {
  /** A `bytea` takes 1 GB; but pg reads it as hexadecimal text, and V8's texts end at 512 MiB. */
  maxValueBytes: 128 * 1024 * 1024,
  clock: 'store',
  persistent: true,
  shared: true,
  evicts: false,
  iteration: true,
}

/** Ids above this are stored as a hash. Well below what a b-tree takes, and what makes one slow. */
const MAX_ID_BYTES = 512
/** How many keys, and about how many bytes of values, go into one statement. */
const BATCH = { keys: 1000, bytes: 4 * 1024 * 1024 }
/** How many entries a statement of `clear()` or `keys()` takes at once. */
const PAGE = 1000

/**
 * Entries in one table of PostgreSQL. An entry is a row, with the exact deadline in a column; the server's clock decides.
 */
export class PostgresBackend extends NativeBackend {
  readonly #connection: PostgresConnection
  readonly #statements: Readonly<Record<Operation, Statement>>
  /** Quoted, with its schema. */
  readonly #table: string
  /** Creates the table; `undefined` where that is left to others. */
  readonly #provision: Statement | undefined
  readonly #sweep: Sweep | undefined

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: PostgresBackendOptions = {}) {
    const { provision = true, sweep = {}, unlogged = false, preparedStatements = true } = options
    for (const [name, value] of Object.entries({ provision, unlogged, preparedStatements })) {
      if (typeof value !== 'boolean') {
        throw invalidArgument(`${name} must be true or false, not ${describeArgument(value)}.`)
      }
    }
    super('postgres', { ...SUPPORTS, persistent: !unlogged }, options)
    const schema = quoteIdentifier('schema', options.schema ?? 'public')
    const table = quoteIdentifier('table', options.table ?? 'cachekit')
    this.#table = `${schema}.${table}`
    this.#statements = statements(this.#table, preparedStatements)
    this.#provision = provision ? { text: createTable(schema, table, unlogged) } : undefined
    this.#sweep = sweep === false ? undefined : new Sweep(sweep, limit => this.#removeExpired(limit))
    this.#connection = new PostgresConnection(options, this.timeout, preparedStatements)
  }

  protected override async _open(): Promise<void> {
    this.#connection.listen()
    if (!(await this.#exists())) {
      if (this.#provision === undefined) {
        throw Object.assign(new Error(`relation ${this.#table} does not exist`), { code: '42P01', severity: 'ERROR' })
      }
      try {
        await this.#connection.query(this.#provision)
      } catch (error) {
        // Somebody else, who takes no advisory lock, may have created it at the same time.
        if (!(await this.#exists())) throw error
      }
    }
    this.#sweep?.start()
  }

  async #exists(): Promise<boolean> {
    const { rows } = await this.#connection.query(this.#statements.exists, [this.#table])
    return rows[0]?.[0] === 't'
  }

  protected override async _close(): Promise<void> {
    await Promise.all([this.#sweep?.stop(), this.#connection.close()])
  }

  protected override _timedOut(): void {
    this.#connection.drop()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    // Somebody has dropped the table: have `_open` create it again.
    if (isMissingTable(error)) this.disconnected()
    return toErrorFields(error)
  }

  protected override async _get(id: string): Promise<StoredEntry | undefined> {
    const [row] = (await this.#run('get', [toKey(id)])).rows
    return row && { value: fromHex(row[0]) }
  }

  protected override async _getEntry(id: string): Promise<BackendEntry | undefined> {
    const [row] = (await this.#run('getEntry', [toKey(id)])).rows
    return row && { value: fromHex(row[0]), ttl: row[1] === null ? undefined : Number(row[1]) }
  }

  protected override async _has(id: string): Promise<boolean> {
    return (await this.#run('has', [toKey(id)])).rowCount === 1
  }

  protected override readonly _repeats = true

  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const entries = new Array<StoredEntry | undefined>(ids.length)
    await this.inBatches(ids, BATCH, progress, async (batch, _failed, start) => {
      const { rows } = await this.#run('getMany', [byteaArray(batch.map(toKey))])
      // Positions count from 1.
      for (const [position, value] of rows) entries[start + Number(position) - 1] = { value: fromHex(value) }
    })
    return entries
  }

  protected override async _set(id: string, entry: NewEntry): Promise<void> {
    await this.#run('set', newRow(id, entry))
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    await this.inBatches(entries, BATCH, progress, async batch => {
      const rows = batch.map(([id, entry]) => newRow(id, entry))
      await this.#run('setMany', [
        byteaArray(rows.map(([key]) => key)),
        byteaArray(rows.map(([, original]) => original)),
        byteaArray(rows.map(([, , value]) => value)),
        rows.map(([, , , ttl]) => ttl),
      ])
    })
  }

  protected override async _add(id: string, entry: NewEntry): Promise<boolean> {
    return (await this.#run('add', newRow(id, entry))).rowCount === 1
  }

  protected override async _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry): Promise<boolean> {
    return (await this.#run('compareAndSet', [toKey(id), expected, entry.value, entry.ttl])).rowCount === 1
  }

  protected override async _compareAndDelete(id: string, expected: Uint8Array): Promise<boolean> {
    return (await this.#run('compareAndDelete', [toKey(id), expected])).rowCount === 1
  }

  protected override async _increment(id: string, by: number, { ttl }: Deadline, progress: Progress): Promise<number> {
    for (;;) {
      const [row] = (await this.#run('increment', [toKey(id), toOriginal(id), String(by), ttl])).rows
      if (row !== undefined) return Number(row[0])
      // It could not be added to. This throws why, unless the entry has changed since.
      addToCounter((await this._get(id))?.value, by)
      progress()
    }
  }

  protected override async _touch(id: string, { ttl }: Deadline): Promise<boolean> {
    return (await this.#run('touch', [toKey(id), ttl])).rowCount === 1
  }

  protected override async _delete(id: string): Promise<boolean> {
    const [row] = (await this.#run('delete', [toKey(id)])).rows
    return row?.[0] === 't'
  }

  protected override async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.inBatches(ids, BATCH, progress, async batch => {
      await this.#run('deleteMany', [byteaArray(batch.map(toKey))])
    })
  }

  protected override async _clear(prefix: string, progress: Progress): Promise<void> {
    let [after, end] = rangeOf(prefix)
    for (;;) {
      const [last] = (await this.#run('clear', [after, end, PAGE])).rows
      progress()
      if (last === undefined || Number(last[1]) < PAGE) return
      after = fromHex(last[0])
    }
  }

  protected override async *_keys(prefix: string, progress: Progress): AsyncGenerator<string> {
    let [after, end] = rangeOf(prefix)
    for (;;) {
      const { rows } = await this.#run('keys', [after, end, PAGE])
      progress()
      for (const [key, original] of rows) yield fromHex(original ?? key).toString()
      if (rows.length < PAGE) return
      after = fromHex(rows[PAGE - 1]?.[0])
    }
  }

  async #removeExpired(limit: number): Promise<number> {
    return (await this.#run('sweep', [`cachekit sweep ${this.#table}`, limit])).rowCount ?? 0
  }

  #run(operation: Operation, values: unknown[]): Promise<QueryResult> {
    return this.#connection.query(this.#statements[operation], values)
  }
}

function toKey(id: string): Buffer {
  return Buffer.from(fitId(id, MAX_ID_BYTES))
}

/** The id itself where the key is a hash of it. */
function toOriginal(id: string): Buffer | undefined {
  return fitId(id, MAX_ID_BYTES) === id ? undefined : Buffer.from(id)
}

type NewRow = [key: Buffer, original: Buffer | undefined, value: Uint8Array, ttl: number | undefined]

function newRow(id: string, { value, ttl }: NewEntry): NewRow {
  return [toKey(id), toOriginal(id), value, ttl]
}

/** Between which keys all keys with this prefix are, neither of them included. It ends in ':', after which comes ';'. */
function rangeOf(prefix: string): [after: Buffer, end: Buffer] {
  return [Buffer.from(prefix), Buffer.from(`${prefix.slice(0, -1)};`)]
}

function fromHex(digits: string | null | undefined): Buffer {
  return Buffer.from(digits ?? '', 'hex')
}
