// A backend of one's own, on the SQLite that comes with Node: four hooks. It passes the whole conformance kit.
import { DatabaseSync } from 'node:sqlite'
import { BaseBackend } from '@cachekit/core'

const supports = {
  maxValueBytes: 1e6,
  clock: 'caller',
  persistent: true,
  shared: true,
  evicts: false,
  iteration: false,
}

export class SqliteBackend extends BaseBackend {
  #path
  #db

  constructor({ path, ...options }) {
    super('sqlite', supports, options)
    this.#path = path
  }

  async _open() {
    this.#db = new DatabaseSync(this.#path, { timeout: this.timeout })
    this.#db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
      CREATE TABLE IF NOT EXISTS cache (id BLOB PRIMARY KEY, value BLOB, expires INTEGER)`)
  }

  async _close() {
    this.#db?.close()
  }

  async _get(id) {
    const row = this.#db.prepare('SELECT value, expires FROM cache WHERE id = ?').get(Buffer.from(id))
    return row && { value: row.value, expiresAt: row.expires ?? undefined }
  }

  async _set(id, { value, expiresAt }) {
    this.#db.prepare('REPLACE INTO cache VALUES (?, ?, ?)').run(Buffer.from(id), value, expiresAt ?? null)
  }

  async _swap(id, expected, next) {
    const record = entry => [Buffer.from(id), entry.value, entry.expiresAt ?? null]
    const run = (sql, values) => this.#db.prepare(sql).run(...values).changes === 1
    if (!expected) return run('INSERT OR IGNORE INTO cache VALUES (?, ?, ?)', record(next))
    const unchanged = 'WHERE id = ? AND value = ? AND expires IS ?'
    if (!next) return run(`DELETE FROM cache ${unchanged}`, record(expected))
    return run(`UPDATE cache SET (id, value, expires) = (?, ?, ?) ${unchanged}`, [...record(next), ...record(expected)])
  }

  async _clear(prefix) {
    const end = Buffer.concat([Buffer.from(prefix), Buffer.of(0xff)]) // no byte of UTF-8 is 0xff
    this.#db.prepare('DELETE FROM cache WHERE id > ? AND id < ?').run(Buffer.from(prefix), end)
  }
}
