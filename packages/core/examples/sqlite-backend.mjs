// A backend of one's own, on the SQLite that comes with Node: four hooks and `_keys`. It passes the whole conformance kit.
import { DatabaseSync } from 'node:sqlite'
import { BaseBackend } from '@cachekit/core'

const SUPPORTS = {
  maxValueBytes: 1_000_000,
  clock: 'caller',
  persistent: true,
  shared: true,
  evicts: false,
  iteration: true,
}

export class SqliteBackend extends BaseBackend {
  #path
  #db

  constructor({ path, ...options }) {
    super('sqlite', SUPPORTS, options)
    this.#path = path
  }

  async _open() {
    this.#db = new DatabaseSync(this.#path, { timeout: this.timeout })
    this.#db.exec(
      'PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS cache (id BLOB PRIMARY KEY, value BLOB, expires REAL)',
    )
  }

  async _close() {
    this.#db?.close()
  }

  async _get(id) {
    const row = this.#db.prepare('SELECT value, expires FROM cache WHERE id = ?').get(Buffer.from(id))
    return row && { value: row.value, expiresAt: row.expires ?? undefined }
  }

  async _set(id, { value, expiresAt }) {
    this.#db.prepare('INSERT OR REPLACE INTO cache VALUES (?, ?, ?)').run(Buffer.from(id), value, expiresAt ?? null)
  }

  async _swap(id, expected, next) {
    const key = Buffer.from(id)
    const [sql, values] = !expected
      ? ['INSERT OR IGNORE INTO cache VALUES (?, ?, ?)', [key, next.value, next.expiresAt ?? null]]
      : next
        ? [
            'UPDATE cache SET value = ?, expires = ? WHERE id = ? AND value = ? AND expires IS ?',
            [next.value, next.expiresAt ?? null, key, expected.value, expected.expiresAt ?? null],
          ]
        : [
            'DELETE FROM cache WHERE id = ? AND value = ? AND expires IS ?',
            [key, expected.value, expected.expiresAt ?? null],
          ]
    return this.#db.prepare(sql).run(...values).changes === 1
  }

  async _clear(prefix) {
    this.#db.prepare('DELETE FROM cache WHERE id > ? AND id < ?').run(...startingWith(prefix))
  }

  async *_keys(prefix) {
    const rows = this.#db.prepare('SELECT id, expires FROM cache WHERE id > ? AND id < ?')
    for (const { id, expires } of rows.iterate(...startingWith(prefix))) {
      if (expires === null || expires > this.now()) yield Buffer.from(id).toString()
    }
  }
}

/** No byte of UTF-8 is 0xff. */
function startingWith(prefix) {
  return [Buffer.from(prefix), Buffer.from([...Buffer.from(prefix), 0xff])]
}
