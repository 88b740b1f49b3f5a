import type { Pool } from 'pg'
import { defaultRecords } from '../cachekit-records.ts'
import type { Contestant, Subject, Suite } from '../suite.ts'
import { load, makeValue, patience, ttl } from '../workload.ts'

const pg = 'pg, same encoding'

/** Objects in a server: what an application calls. */
export const postgres: Suite = {
  name: 'postgres',
  title: 'PostgreSQL: objects',
  service: 'postgres',
  baseline: pg,
  operations: ['get', 'set', 'getMany', 'hit'],
  clock: 'wall',
  contestants: [
    {
      name: pg,
      options: "Pool.query with named statements: SELECT, upsert, = ANY; @cachekit/core's own record format",
      packages: ['pg'],
      async open(url) {
        const { encode, decode } = await defaultRecords()
        return bare(url, 'recorded', statements => ({
          set: (name, value) => statements.set(name, encode(value)),
          get: async name => decode((await statements.get(name)) as Buffer),
          hit: async name => decode((await statements.get(name)) as Buffer),
          getMany: async names => (await statements.getMany(names)).map(bytes => decode(bytes as Buffer)),
        }))
      },
    },
    {
      name: 'cachekit',
      options: 'PostgresBackend: url, timeout; get, set, getMany, getOrSet',
      packages: ['@cachekit/core', '@cachekit/postgres', 'pg'],
      async open(url): Promise<Subject> {
        const { createCache } = await import('@cachekit/core')
        const { PostgresBackend } = await import('@cachekit/postgres')
        const cache = createCache({
          backend: new PostgresBackend({ url, timeout: patience }),
          ttl,
          storeTimeout: patience,
        })
        return {
          set: (key, value) => cache.set(key, value),
          get: key => cache.get(key),
          getMany: keys => cache.getMany(keys),
          hit: key => cache.getOrSet(key, load),
          close: () => cache.close(),
        }
      },
    },
    {
      name: 'keyv',
      options: '@keyv/postgres: uri, namespace; ttl at set',
      packages: ['keyv', '@keyv/postgres'],
      async open(url): Promise<Subject> {
        const { Keyv } = await import('keyv')
        const { KeyvPostgres } = await import('@keyv/postgres')
        const store = new Keyv({ store: new KeyvPostgres({ uri: url }), namespace: 'keyv' })
        return {
          set: (key, value) => store.set(key, value, ttl),
          get: key => store.get(key),
          getMany: keys => store.getMany([...keys]),
          close: () => store.disconnect(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit', than: pg, atLeast: 0.95 }],
}

/** Bytes in a server: what the contract of a backend costs over its driver. */
export const postgresBytes: Suite = {
  name: 'postgres-bytes',
  title: 'PostgreSQL: bytes',
  service: 'postgres',
  baseline: 'pg',
  operations: ['get', 'set', 'getMany'],
  clock: 'wall',
  value: (size, index) => Buffer.from(JSON.stringify(makeValue(size, index))),
  contestants: [
    {
      name: 'pg',
      options: 'Pool.query with named statements: SELECT, upsert, = ANY',
      packages: ['pg'],
      open: url =>
        bare(url, 'barebyte', statements => ({
          set: (name, value) => statements.set(name, value as Buffer),
          get: name => statements.get(name),
          getMany: names => statements.getMany(names),
        })),
    },
    {
      name: 'cachekit backend',
      options: 'PostgresBackend: url, timeout; get, set, getMany',
      packages: ['@cachekit/core', '@cachekit/postgres', 'pg'],
      async open(url): Promise<Subject> {
        const { PostgresBackend } = await import('@cachekit/postgres')
        const backend = new PostgresBackend({ url, timeout: patience })
        return {
          set: (key, value) => backend.set(key, value as Buffer, { ttl }),
          get: key => backend.get(key),
          getMany: keys => backend.getMany(keys),
          close: () => backend.close(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit backend', than: 'pg', atLeast: 0.95 }],
}

/** What one writes by hand for a cache in a table: a key, a value and a deadline. */
interface Statements {
  set(name: string, value: Uint8Array): Promise<unknown>
  get(name: string): Promise<Buffer | undefined>
  getMany(names: readonly string[]): Promise<(Buffer | undefined)[]>
}

/** The driver with its default options. A namespace as long as CacheKit's makes keys of the same length. */
async function bare(
  url: string,
  table: string,
  operations: (statements: Statements) => Subject,
): ReturnType<Contestant['open']> {
  const { default: driver } = await import('pg')
  const pool: Pool = new driver.Pool({ connectionString: url })
  await pool.query(
    `CREATE TABLE IF NOT EXISTS ${table} (key bytea PRIMARY KEY, value bytea NOT NULL, expires_at timestamptz)`,
  )
  const key = (name: string): Buffer => Buffer.from(`${table}:${name}`)
  const statements: Statements = {
    set: (name, value) =>
      pool.query({
        name: 'set',
        text: `INSERT INTO ${table} VALUES ($1, $2, now() + $3 * interval '1 millisecond')
          ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
        values: [key(name), value, ttl],
      }),
    async get(name) {
      const { rows } = await pool.query({
        name: 'get',
        text: `SELECT value FROM ${table} WHERE key = $1 AND (expires_at IS NULL OR expires_at > now())`,
        values: [key(name)],
      })
      return rows[0]?.value
    },
    async getMany(names) {
      const keys = names.map(key)
      const { rows } = await pool.query({
        name: 'getMany',
        text: `SELECT key, value FROM ${table} WHERE key = ANY ($1) AND (expires_at IS NULL OR expires_at > now())`,
        values: [keys],
      })
      const values = new Map(rows.map(row => [row.key.toString('latin1'), row.value]))
      return keys.map(each => values.get(each.toString('latin1')))
    },
  }
  return { ...operations(statements), close: () => pool.end() }
}
