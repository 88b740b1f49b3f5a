// A store for the tests of the cache: SQLite in memory, shared by any number of backends, that counts the calls of its
// hooks and can be told to fail or to wait.
import { DatabaseSync } from 'node:sqlite'
import {
  type BackendOptions,
  BaseBackend,
  type CacheErrorFields,
  type NewEntry,
  type StoredEntry,
} from '../src/index.ts'

export class SqliteStore {
  readonly db: DatabaseSync = new DatabaseSync(':memory:')
  readonly calls: string[] = []
  /** Runs before each hook; what it throws is the store's failure. */
  before: (hook: string) => Promise<void> = async () => {}

  constructor() {
    this.db.exec('CREATE TABLE cache (id BLOB PRIMARY KEY, value BLOB, expires REAL)')
  }

  backend(options: BackendOptions = {}): BaseBackend {
    return new SqliteStoreBackend(this, options)
  }

  /** The raw rows, by id. */
  rows(): Map<string, Buffer> {
    const rows = this.db.prepare('SELECT id, value FROM cache').all() as { id: Uint8Array; value: Uint8Array }[]
    return new Map(rows.map(({ id, value }) => [Buffer.from(id).toString(), Buffer.from(value)]))
  }

  async called(hook: string): Promise<void> {
    this.calls.push(hook)
    await this.before(hook)
  }
}

class SqliteStoreBackend extends BaseBackend {
  readonly #store: SqliteStore

  constructor(store: SqliteStore, options: BackendOptions) {
    const supports = {
      maxValueBytes: 100_000,
      clock: 'caller',
      persistent: false,
      shared: true,
      evicts: false,
      iteration: true,
    } as const
    super('sqlite', supports, options)
    this.#store = store
  }

  protected async _get(id: string): Promise<StoredEntry | undefined> {
    await this.#store.called('get')
    const row = this.#store.db.prepare('SELECT value, expires FROM cache WHERE id = ?').get(Buffer.from(id)) as
      | { value: Uint8Array; expires: number | null }
      | undefined
    return row && { value: row.value, expiresAt: row.expires ?? undefined }
  }

  protected async _set(id: string, entry: NewEntry): Promise<void> {
    await this.#store.called('set')
    this.#store.db
      .prepare('INSERT OR REPLACE INTO cache VALUES (?, ?, ?)')
      .run(Buffer.from(id), entry.value, entry.expiresAt ?? null)
  }

  protected async _swap(id: string, expected: StoredEntry | undefined, next: NewEntry | undefined): Promise<boolean> {
    await this.#store.called('swap')
    const row = this.#store.db.prepare('SELECT value, expires FROM cache WHERE id = ?').get(Buffer.from(id)) as
      | { value: Uint8Array; expires: number | null }
      | undefined
    const same =
      row === undefined || expected === undefined
        ? row === expected
        : Buffer.compare(row.value, expected.value) === 0 && row.expires === (expected.expiresAt ?? null)
    if (!same) return false
    if (next === undefined) this.#store.db.prepare('DELETE FROM cache WHERE id = ?').run(Buffer.from(id))
    else
      this.#store.db
        .prepare('INSERT OR REPLACE INTO cache VALUES (?, ?, ?)')
        .run(Buffer.from(id), next.value, next.expiresAt ?? null)
    return true
  }

  protected async _clear(prefix: string): Promise<void> {
    await this.#store.called('clear')
    this.#store.db
      .prepare('DELETE FROM cache WHERE id >= ? AND id < ?')
      .run(Buffer.from(prefix), Buffer.from(`${prefix}\u{10ffff}`))
  }

  protected override async *_keys(prefix: string): AsyncGenerator<string> {
    for (const id of this.#store.rows().keys()) if (id.startsWith(prefix)) yield id
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    return error instanceof StoreDown ? { code: 'CACHE_UNAVAILABLE', message: 'sqlite is down' } : undefined
  }
}

/** What `before` throws when the store is down. */
export class StoreDown extends Error {}
