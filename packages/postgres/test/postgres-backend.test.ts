import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type CacheBackend, CacheError } from '@cachekit/core'
import { describeService, FaultProxy, runScript, type Server, startServer } from '@cachekit/testing'
import { Client, Pool, types } from 'pg'
import { PostgresBackend, type PostgresBackendOptions } from '../src/index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value)
const range = (length: number): string[] => Array.from({ length }, (_, index) => `key-${index}`)

/** What `call` rejects with. */
async function errorOf(call: Promise<unknown>): Promise<CacheError> {
  const error = await call.then(
    value => new Error(`resolved: ${inspect(value)}`),
    reason => reason,
  )
  if (error instanceof CacheError) return error
  throw error
}

/** All that a logger could print of an error, with the bytes of buffers and of `bytea` as text. */
function printed(error: unknown): string {
  const whole = inspect(error, { depth: 10, showHidden: true, maxStringLength: null })
  return whole
    .replace(/<Buffer ([^>]*)>/g, (_, hex: string) => String(Buffer.from(hex.replaceAll(' ', ''), 'hex')))
    .replace(/\\+x([0-9a-f]+)/g, (_, hex: string) => String(Buffer.from(hex, 'hex')))
}

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

function open(options: PostgresBackendOptions): PostgresBackend {
  const backend = new PostgresBackend(options)
  opened.push(backend)
  return backend
}

describeService('postgres', () => {
  let server: Server
  /** A connection that looks into the server beside the backend. */
  let sql: Client
  let backend: PostgresBackend

  // One of its own: these cases change its settings and count its connections.
  beforeAll(async () => {
    server = await startServer('postgres')
    sql = new Client(server.url)
    await sql.connect()
  }, 60_000)
  afterAll(async () => {
    await sql.end()
    await server.close()
  })
  beforeEach(async () => {
    await sql.query('DROP TABLE IF EXISTS cachekit')
    backend = open({ url: server.url })
    await backend.open()
  })

  const urlOf = (user: string): string => `postgres://${user}@${server.host}:${server.port}/postgres`

  function pool(options: object = {}): Pool {
    const made = new Pool({ connectionString: server.url, ...options })
    opened.push({ close: () => made.end() })
    return made
  }

  async function count(where = 'true'): Promise<number> {
    const { rows } = await sql.query(`SELECT count(*) FROM cachekit WHERE ${where}`)
    return Number(rows[0].count)
  }

  describe('the storage layout', () => {
    test('an entry is a row under namespace:key', async () => {
      await backend.set('a b', bytes('välue'))
      await backend.namespace('users').set('42', bytes('Ada'), { ttl: 60_000 })
      const { rows } = await sql.query(
        `SELECT convert_from(key, 'UTF8') AS key, original, convert_from(value, 'UTF8') AS value,
           expires_at - now() BETWEEN interval '50 s' AND interval '60 s' AS expires FROM cachekit ORDER BY key`,
      )
      expect(rows).toEqual([
        { key: 'cachekit:@users:42', original: null, value: 'Ada', expires: true },
        { key: 'cachekit:a b', original: null, value: 'välue', expires: null },
      ])
    })

    test('a key whose id is longer than 512 bytes is stored as a hash, beside the whole', async () => {
      const [fits, long] = ['x'.repeat(512 - 9), 'x'.repeat(512 - 8)]
      await backend.setMany([
        [fits, bytes('1')],
        [long, bytes('2')],
      ])
      const { rows } = await sql.query(
        "SELECT length(key) AS length, convert_from(original, 'UTF8') AS original FROM cachekit ORDER BY length",
      )
      expect(rows).toEqual([
        { length: 54, original: `cachekit:${long}` },
        { length: 512, original: null },
      ])
    })

    test('what others write there is an entry', async () => {
      await sql.query("INSERT INTO cachekit VALUES ('cachekit:greeting', NULL, 'hello', now() + interval '60 s')")
      expect(text(await backend.get('greeting'))).toBe('hello')
      expect((await backend.getEntry('greeting'))?.ttl).toBeGreaterThan(59_000)
    })

    test('a counter is a plain number', async () => {
      await backend.increment('visits', 41)
      expect(await count("key = 'cachekit:visits' AND value = '41'")).toBe(1)
    })

    test('a table that the first release created and filled is read', async () => {
      await sql.query('DROP TABLE cachekit')
      await sql.query(readFileSync(join(__dirname, 'fixtures/layout-1.sql'), 'utf8'))
      const keys = ['plain', 'bytes', '@at', 'later', 'gone', `long ${'x'.repeat(600)}`]
      expect((await backend.getMany(keys)).map(value => value && Buffer.from(value).toString('latin1'))).toEqual([
        'text',
        '\0\xff\\x',
        'key @at',
        'still there',
        undefined,
        'a long key',
      ])
      expect(text(await backend.namespace('users').get('42'))).toBe('Ada')
      expect(await backend.increment('visits')).toBe(42)
      expect(await backend.getEntry('gone')).toBeUndefined()
      const found: string[] = []
      for await (const key of backend.keys()) found.push(key)
      expect(found.sort()).toEqual([...keys.filter(key => key !== 'gone'), 'visits'].sort())
    })

    test.each(['na"me', 'sélect', 'drop table x; --', "o'clock", '$$', '\\', 'x'.repeat(63)])(
      'schema and table may be called %s',
      async name => {
        const odd = open({ url: server.url, schema: name, table: name, sweep: { interval: 20 } })
        await odd.set('k', bytes('1'), { ttl: 1 })
        await odd.set('other', bytes('2'))
        expect(text(await odd.get('other'))).toBe('2')
        const { rows } = await sql.query('SELECT schemaname FROM pg_tables WHERE tablename = $1', [name])
        expect(rows).toEqual([{ schemaname: name }])
        const quoted = `${sql.escapeIdentifier(name)}.${sql.escapeIdentifier(name)}`
        for (let left = 2; left > 1; await sleep(20)) {
          left = Number((await sql.query(`SELECT count(*) FROM ${quoted}`)).rows[0].count)
        }
        await odd.clear()
        await sql.query(`DROP SCHEMA ${sql.escapeIdentifier(name)} CASCADE`)
      },
    )

    test('unlogged makes an UNLOGGED table, and is not persistent', async () => {
      const fast = open({ url: server.url, table: 'fast', unlogged: true })
      await fast.open()
      expect([fast.supports.persistent, backend.supports.persistent]).toEqual([false, true])
      const { rows } = await sql.query("SELECT relpersistence FROM pg_class WHERE relname = 'fast'")
      expect(rows).toEqual([{ relpersistence: 'u' }])
    })
  })

  describe('creating the table', () => {
    test('succeeds in all of twenty processes that begin at once', async () => {
      const script = join(__dirname, 'fixtures/first-calls.ts')
      const processes = Array.from({ length: 20 }, () => runScript(script, server.url, 'together'))
      await Promise.all(processes.map(({ child }) => new Promise(resolve => child.stderr?.once('data', resolve))))
      for (const { child } of processes) child.stdin?.end('go\n')
      await Promise.all(processes)
      const { rows } = await sql.query("SELECT value FROM together.cachekit WHERE key = 'cachekit:calls'")
      expect(String(rows[0].value)).toBe('100')
    }, 120_000)

    test('happens again when the table was dropped', async () => {
      await sql.query('DROP TABLE cachekit')
      expect(await errorOf(backend.get('k'))).toMatchObject({ code: 'CACHE_BACKEND_FAILED' })
      await backend.set('k', bytes('1'))
      expect(text(await backend.get('k'))).toBe('1')
    })

    test('is left to others with provision: false', async () => {
      await sql.query('DROP TABLE cachekit')
      const guest = open({ url: server.url, provision: false })
      for (const call of [() => guest.open(), () => guest.set('k', bytes('1'))]) {
        const error = await errorOf(call())
        expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false })
        expect(error.message).toContain('provision')
      }
      expect((await sql.query("SELECT to_regclass('cachekit') AS table")).rows).toEqual([{ table: null }])
    })
  })

  describe('expiry is exact to the millisecond', () => {
    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'), { ttl: 12_345 })],
      ['setMany', b => b.setMany([['k', bytes('1'), { ttl: 12_345 }]])],
      ['add', b => b.add('k', bytes('1'), { ttl: 12_345 })],
      ['increment of a new counter', b => b.increment('k', 1, { ttl: 12_345 })],
      [
        'compareAndSet',
        b => b.set('k', bytes('0')).then(() => b.compareAndSet('k', bytes('0'), bytes('1'), { ttl: 12_345 })),
      ],
      ['touch', b => b.set('k', bytes('1')).then(() => b.touch('k', { ttl: 12_345 }))],
    ])('%s counts it from the call', async (_name, write) => {
      const now = async (): Promise<number> =>
        Number((await sql.query('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now')).rows[0].now)
      const before = await now()
      await write(backend)
      const after = await now()
      const { rows } = await sql.query('SELECT extract(epoch FROM expires_at) * 1000 AS deadline FROM cachekit')
      expect(Number(rows[0].deadline)).toBeGreaterThanOrEqual(before + 12_345)
      expect(Number(rows[0].deadline)).toBeLessThanOrEqual(after + 12_345)
    })
  })

  describe('round trips', () => {
    const keys = range(100)
    let proxy: FaultProxy
    let distant: PostgresBackend
    beforeEach(async () => {
      proxy = await FaultProxy.start(server)
      opened.push(proxy)
      distant = open({ url: server.url.replace(`${server.port}`, `${proxy.port}`), sweep: false })
      await distant.setMany(keys.map(key => [key, bytes(`value of ${key}`)]))
      await distant.set('k', bytes('1'))
    })

    test.each<[string, () => Promise<unknown>]>([
      ['getMany of 100', () => distant.getMany(keys)],
      ['setMany of 100', () => distant.setMany(keys.map(key => [key, bytes('new')]))],
      ['deleteMany of 100', () => distant.deleteMany(keys)],
      ['get', () => distant.get('k')],
      ['getEntry', () => distant.getEntry('k')],
      ['has', () => distant.has('k')],
      ['set', () => distant.set('k', bytes('2'))],
      ['add', () => distant.add('new', bytes('2'))],
      ['increment', () => distant.increment('k')],
      ['compareAndSet', () => distant.compareAndSet('k', bytes('1'), bytes('2'))],
      ['compareAndDelete', () => distant.compareAndDelete('k', bytes('1'))],
      ['touch', () => distant.touch('k', { ttl: 1000 })],
      ['delete', () => distant.delete('k')],
      ['clear of 101', () => distant.clear()],
    ])('%s is one', async (_name, call) => {
      const before = proxy.traffic.roundTrips
      await call()
      expect(proxy.traffic.roundTrips - before).toBe(1)
    })

    test('clear of 2,500 is one for each 1,000, also among 20,000 entries of others', async () => {
      await sql.query(
        "INSERT INTO cachekit SELECT convert_to('cachekitX:' || n, 'UTF8'), NULL, '1' FROM generate_series(1, 20000) n",
      )
      await distant.setMany(range(2500).map(key => [key, bytes('1')]))
      const before = proxy.traffic.roundTrips
      await distant.clear()
      expect(proxy.traffic.roundTrips - before).toBe(3)
      expect(await count()).toBe(20_000)
    })

    test('getMany answers in the order of its keys, with undefined for misses', async () => {
      await sql.query("DELETE FROM cachekit WHERE key = 'cachekit:key-1'")
      const values = await distant.getMany(['key-2', 'key-1', 'key-0', 'key-2'])
      expect(values.map(text)).toEqual(['value of key-2', undefined, 'value of key-0', 'value of key-2'])
    })
  })

  test('keys answers each key once, page by page', async () => {
    const keys = range(2500)
    await backend.setMany(keys.map(key => [key, bytes('1')]))
    const found: string[] = []
    for await (const key of backend.keys()) found.push(key)
    expect(found.sort()).toEqual(keys.sort())
  })

  test('clear goes on behind entries that somebody else deletes meanwhile', async () => {
    await backend.setMany(range(2500).map(key => [key, bytes('1')]))
    await sql.query('BEGIN')
    await sql.query("DELETE FROM cachekit WHERE key < 'cachekit:key-15'")
    const clearing = backend.clear()
    await sleep(100)
    await sql.query('COMMIT')
    await clearing
    expect(await count()).toBe(0)
  })

  test('batches of the same keys in opposite orders end in no deadlock', async () => {
    const keys = range(500)
    const others = open({ url: server.url })
    const { rows: before } = await sql.query(
      'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
    )
    for (let round = 0; round < 10; round++) {
      await Promise.all([
        backend.setMany(keys.map(key => [key, bytes('1')])),
        others.setMany(keys.toReversed().map(key => [key, bytes('2')])),
        backend.deleteMany(keys.toReversed()),
        others.deleteMany(keys),
        backend.clear(),
      ])
    }
    const { rows: after } = await sql.query('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()')
    expect(after).toEqual(before)
  })

  describe('the sweep', () => {
    const expired = (keys: number): Promise<unknown> =>
      sql.query(
        "INSERT INTO cachekit SELECT convert_to('cachekit:old ' || n, 'UTF8'), NULL, '1', now() - interval '1 s' FROM generate_series(1, $1) n",
        [keys],
      )

    test('removes what has expired, in batches, and nothing else', async () => {
      await expired(250)
      await backend.set('lives', bytes('1'), { ttl: 60_000 })
      await backend.set('for ever', bytes('1'))
      await open({ url: server.url, sweep: { interval: 50, batchSize: 100 } }).open()
      for (let left = 0; left !== 2; left = await count()) await sleep(10)
      expect(await count('expires_at IS NULL OR expires_at > now()')).toBe(2)
    })

    test('is off with sweep: false, and by default not at once', async () => {
      await expired(10)
      await open({ url: server.url, sweep: false }).open()
      await sleep(300)
      expect(await count()).toBe(10)
    })

    test('waits while another process sweeps', async () => {
      await expired(10)
      await sql.query('BEGIN')
      await sql.query(`SELECT pg_advisory_xact_lock(hashtextextended('cachekit sweep "public"."cachekit"', 0))`)
      await open({ url: server.url, sweep: { interval: 20 } }).open()
      await sleep(300)
      expect(await count()).toBe(10)
      await sql.query('COMMIT')
      for (let left = 10; left > 0; left = await count()) await sleep(10)
    })

    test('leaves an entry that was written after it had expired', async () => {
      await expired(1)
      // The sweep skips the row that is being written, and finds it fresh afterwards.
      await sql.query('BEGIN')
      await sql.query("UPDATE cachekit SET value = 'fresh', expires_at = now() + interval '1 h'")
      await open({ url: server.url, sweep: { interval: 20 } }).open()
      await sleep(200)
      await sql.query('COMMIT')
      await sleep(200)
      expect(text(await backend.get('old 1'))).toBe('fresh')
    })

    test('looks at expired entries only', async () => {
      await backend.setMany(range(20_000).map(key => [key, bytes('1'), { ttl: 3_600_000 }]))
      await sql.query('VACUUM ANALYZE cachekit')
      const { rows } = await sql.query(
        'EXPLAIN SELECT key FROM cachekit WHERE expires_minute <= now() AND expires_at <= now() ORDER BY expires_minute LIMIT 1000',
      )
      expect(JSON.stringify(rows)).toContain('Index Scan using cachekit_expires_minute_idx')
    })
  })

  test('200,000 overwrites do not make the table grow', async () => {
    const size = async (): Promise<number> =>
      Number((await sql.query("SELECT pg_total_relation_size('cachekit') AS size")).rows[0].size)
    const keys = range(1000)
    const write = (): Promise<void> =>
      backend.setMany(keys.map(key => [key, bytes('x'.repeat(200)), { ttl: 3_600_000 }]))
    await sql.query('ALTER TABLE cachekit SET (autovacuum_enabled = false)')
    for (let round = 0; round < 20; round++) await write()
    const before = await size()
    for (let round = 0; round < 200; round++) await write()
    expect(await size()).toBeLessThanOrEqual(1.1 * before)
    // 300 KB of values and keys, on pages that are half full.
    expect(before).toBeLessThan(2_000_000)
  }, 60_000)

  describe('refusals of the server', () => {
    const secret = 'the-secret-value'
    const role = async (name: string, ...settings: string[]): Promise<void> => {
      await sql.query(`DROP ROLE IF EXISTS ${name}`)
      await sql.query(`CREATE ROLE ${name} LOGIN SUPERUSER ${settings[0] ?? ''}`)
      for (const setting of settings.slice(1)) await sql.query(`ALTER ROLE ${name} SET ${setting}`)
    }

    test('a wrong password, and a user who may not come in: nothing secret is printed', async () => {
      const { rows } = await sql.query("SELECT current_setting('hba_file') AS file")
      const setRules = async (...lines: string[]): Promise<void> => {
        const list = lines.map(line => sql.escapeLiteral(line)).join(', ')
        await sql.query(`COPY (SELECT unnest(ARRAY[${list}])) TO ${sql.escapeLiteral(rows[0].file)}`)
        await sql.query('SELECT pg_reload_conf()')
        await sleep(200)
      }
      await sql.query("CREATE ROLE locked LOGIN PASSWORD 'the-right-one'")
      try {
        await setRules('host all postgres all trust', 'host all locked all scram-sha-256', 'host all all all reject')
        const refusal = { code: 'CACHE_BACKEND_FAILED', retryable: false, outcome: 'not-applied' }
        const intruder = open({ url: urlOf('locked:the-wrong-one'), timeout: 1000 })
        const error = await errorOf(intruder.set('k', bytes(secret)))
        expect(error).toMatchObject({ ...refusal, cause: { code: '28P01' } })
        expect(error.message).toContain('password')
        expect(printed(error)).not.toMatch(/the-wrong-one|the-secret-value/)
        expect(await errorOf(open({ url: urlOf('locked') }).set('k', bytes('1')))).toMatchObject(refusal)
        const stranger = await errorOf(open({ url: urlOf('stranger') }).set('k', bytes('1')))
        expect(stranger).toMatchObject({ ...refusal, cause: { code: '28000' } })
      } finally {
        await setRules('host all all all trust')
      }
    })

    test('a database that is not there', async () => {
      const url = server.url.replace(/postgres$/, 'nowhere')
      const error = await errorOf(open({ url }).set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied', cause: { code: '3D000' } })
      expect(error.message).toContain('database')
    })

    test('a role that may not', async () => {
      await sql.query('CREATE ROLE nobody_special LOGIN')
      const error = await errorOf(open({ url: urlOf('nobody_special') }).set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied', cause: { code: '42501' } })
      expect(error.message).toContain('Permissions')
    })

    test('a server that is read-only, as a standby is', async () => {
      await role('reader', '', 'default_transaction_read_only = on')
      const reader = open({ url: urlOf('reader') })
      await backend.set('k', bytes('1'))
      const error = await errorOf(reader.set('k', bytes('2')))
      expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', outcome: 'not-applied', retryable: true })
      expect(text(await reader.get('k'))).toBe('1')
    })

    test('no connection left: calls wait for those that there are, and fail in time where there is none', async () => {
      await role('single', 'CONNECTION LIMIT 1')
      await sql.query('ALTER ROLE single NOSUPERUSER')
      await sql.query('GRANT ALL ON cachekit TO single')
      const one = open({ url: urlOf('single') })
      await Promise.all(range(20).map(key => one.set(key, bytes('1'))))
      expect(await count()).toBe(20)
      const error = await errorOf(open({ url: urlOf('single'), timeout: 500 }).set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', outcome: 'not-applied', cause: { code: '53300' } })
    })

    test('a lock that somebody holds costs the timeout, the server gives up as well, and others go on', async () => {
      await backend.set('k', bytes('1'))
      const impatient = open({ url: server.url, timeout: 500 })
      await impatient.get('k')
      await sql.query('BEGIN')
      await sql.query("SELECT FROM cachekit WHERE key = 'cachekit:k' FOR UPDATE")
      const waiting = errorOf(impatient.set('k', bytes('2')))
      await sleep(100)
      expect(await impatient.increment('other')).toBe(1)
      expect(await waiting).toMatchObject({ code: 'CACHE_TIMEOUT' })
      await sleep(300)
      const { rows } = await sql.query("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
      await sql.query('COMMIT')
      expect(rows).toEqual([])
      expect(text(await backend.get('k'))).toBe('1')
    })

    test('lock_timeout: not applied', async () => {
      await role('hasty', '', "lock_timeout = '50ms'")
      await backend.set('k', bytes('1'))
      await sql.query('BEGIN')
      await sql.query('SELECT FROM cachekit FOR UPDATE')
      const error = await errorOf(open({ url: urlOf('hasty') }).set('k', bytes('2')))
      await sql.query('COMMIT')
      expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', outcome: 'not-applied', cause: { code: '55P03' } })
    })

    test('a statement that somebody cancels: not applied', async () => {
      await backend.set('k', bytes('1'))
      await sql.query('BEGIN')
      await sql.query('SELECT FROM cachekit FOR UPDATE')
      const call = errorOf(backend.set('k', bytes('2')))
      await sleep(100)
      await sql.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
      await sql.query('COMMIT')
      expect(await call).toMatchObject({ code: 'CACHE_TIMEOUT', outcome: 'not-applied', cause: { code: '57014' } })
    })

    test('a statement that was the victim of a deadlock runs again', async () => {
      await backend.set('a', bytes('1'))
      await backend.set('b', bytes('1'))
      const ours = open({ url: urlOf('postgres'), timeout: 10_000 })
      await sql.query('SET deadlock_timeout = 5000')
      await sql.query('BEGIN')
      await sql.query("SELECT FROM cachekit WHERE key = 'cachekit:b' FOR UPDATE")
      const batch = ours.setMany([
        ['a', bytes('2')],
        ['b', bytes('2')],
      ])
      await sleep(200)
      await sql.query("SELECT FROM cachekit WHERE key = 'cachekit:a' FOR UPDATE")
      await sql.query('COMMIT')
      await sql.query('RESET deadlock_timeout')
      await batch
      expect((await backend.getMany(['a', 'b'])).map(text)).toEqual(['2', '2'])
    })

    test('serializable transactions, where the role has them: conflicts are run again', async () => {
      await role('strict', '', "default_transaction_isolation = 'serializable'")
      const clients = [open({ url: urlOf('strict') }), open({ url: urlOf('strict') })]
      const sums = await Promise.all(
        range(100).map((_, index) => (clients[index % 2] as PostgresBackend).increment('n')),
      )
      expect(sums.sort((a, b) => a - b)).toEqual(range(100).map((_, index) => index + 1))
    })

    test('a table of another shape is named as such, and no value of a row is printed', async () => {
      await sql.query('CREATE TABLE IF NOT EXISTS foreign_table (id int PRIMARY KEY)')
      const misled = open({ url: server.url, table: 'foreign_table' })
      const error = await errorOf(misled.set('k', bytes(secret)))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied' })
      expect(error.message).toContain('option table')

      await sql.query('ALTER TABLE cachekit ADD CONSTRAINT narrow CHECK (length(value) < 5)')
      const violation = await errorOf(backend.set('k', bytes(secret)))
      expect(violation).toMatchObject({
        code: 'CACHE_BACKEND_FAILED',
        outcome: 'not-applied',
        cause: { code: '23514' },
      })
      expect(printed(violation)).not.toContain(secret)
      const batch = await errorOf(backend.setMany([['k', bytes(secret)]]))
      expect(batch).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied', keys: ['k'] })
      expect(printed(batch)).not.toContain(secret)
    })

    // By a trigger, as the server itself cannot be brought to say all of these.
    test.each<[state: string, code: string, retryable: boolean, outcome: string]>([
      ['08006', 'CACHE_UNAVAILABLE', true, 'unknown'],
      ['08P01', 'CACHE_UNAVAILABLE', true, 'unknown'],
      ['0A000', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['22001', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['23502', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['25006', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['26000', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['28000', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['28P01', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['3D000', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['3F000', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['40001', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['40P01', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['42501', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['42703', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['42P01', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['42P05', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['53100', 'CACHE_BACKEND_FAILED', true, 'not-applied'],
      ['53200', 'CACHE_BACKEND_FAILED', true, 'not-applied'],
      ['53300', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['55P03', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['57014', 'CACHE_TIMEOUT', true, 'not-applied'],
      ['57P01', 'CACHE_UNAVAILABLE', true, 'unknown'],
      ['57P03', 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['P0001', 'CACHE_BACKEND_FAILED', false, 'not-applied'],
    ])('SQLSTATE %s is %s', async (state, code, retryable, outcome) => {
      await sql.query(
        `CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '${state}'; END $$`,
      )
      await sql.query('CREATE TRIGGER refuse BEFORE INSERT ON cachekit FOR EACH ROW EXECUTE FUNCTION refuse()')
      const hasty = open({ url: server.url, timeout: 500 })
      for (const write of [
        () => hasty.set('k', bytes(secret)),
        () => hasty.add('k', bytes(secret)),
        () => hasty.increment('k'),
        () => hasty.setMany([['k', bytes(secret)]]),
      ]) {
        const error = await errorOf(write())
        expect(error).toMatchObject({ code, retryable, outcome, cause: { code: state } })
        expect(printed(error)).not.toContain(secret)
      }
      expect(await count()).toBe(0)
    })

    test('a table that is altered, and prepared statements that are lost: at most one call fails', async () => {
      const client = pool({ max: 1 })
      const guest = open({ client })
      await guest.set('k', bytes('1'))
      for (const change of ['ALTER TABLE cachekit ADD more int', 'DEALLOCATE ALL', 'DISCARD ALL']) {
        await client.query(change)
        await guest.set('k', bytes('2')).catch(error => {
          expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', retryable: true, outcome: 'not-applied' })
        })
        await guest.set('k', bytes('3'))
        expect(text(await guest.get('k'))).toBe('3')
      }
    })
  })

  describe('a pool that is passed in', () => {
    test('is used, and neither ended nor changed', async () => {
      const client = pool()
      const before = client.listenerCount('error')
      const guest = new PostgresBackend({ client })
      await guest.set('k', bytes('1'))
      expect(client.listenerCount('error')).toBe(before + 1)
      await guest.close()
      expect(client.listenerCount('error')).toBe(before)
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
      expect(client.idleCount).toBe(client.totalCount)
    })

    test.each([
      [true, 1],
      [false, 0],
    ])('with preparedStatements: %p has %p of them after three gets', async (preparedStatements, prepared) => {
      const client = pool({ max: 1 })
      const guest = open({ client, preparedStatements })
      await guest.open()
      await client.query('DEALLOCATE ALL')
      for (let turn = 0; turn < 3; turn++) await guest.get('k').catch(() => {})
      expect((await client.query('SELECT name FROM pg_prepared_statements')).rows).toHaveLength(prepared)
    })

    test('serves two backends with two tables', async () => {
      const client = pool({ max: 1 })
      const [one, two] = [open({ client }), open({ client, table: 'second' })]
      await Promise.all([one.set('k', bytes('1')), two.set('k', bytes('2'))])
      expect([text(await one.get('k')), text(await two.get('k'))]).toEqual(['1', '2'])
    })

    test('may have parsers and an output format of its own', async () => {
      const before = types.getTypeParser(17)
      types.setTypeParser(17, () => 'parsed')
      try {
        const client = pool({ options: '-c bytea_output=escape', types: { getTypeParser: () => () => 'own' } })
        const guest = open({ client })
        await guest.set('k', bytes('\\välue\0'), { ttl: 60_000 })
        expect(text(await guest.get('k'))).toBe('\\välue\0')
        expect((await guest.getMany(['k'])).map(text)).toEqual(['\\välue\0'])
        expect((await guest.getEntry('k'))?.ttl).toBeGreaterThan(59_000)
        expect(await guest.increment('n', 5)).toBe(5)
      } finally {
        types.setTypeParser(17, before)
      }
    })

    test('that was ended is named in the error', async () => {
      const client = new Pool({ connectionString: server.url })
      const guest = open({ client })
      await guest.open()
      await client.end()
      const error = await errorOf(guest.set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied' })
      expect(error.message).toContain('ended')
    })

    test('is refused together with url or clientOptions', () => {
      const client = pool()
      for (const options of [{ url: server.url }, { clientOptions: {} }]) {
        expect(() => new PostgresBackend({ client, ...options })).toThrow('Pass client alone')
      }
    })

    test('is refused when it is no pool', () => {
      for (const client of [null, 'postgres', {}, new Map(), new Client()]) {
        expect(() => new PostgresBackend({ client: client as never })).toThrow('client must be')
      }
    })
  })

  test('options that do not fit are refused, and no password is printed', () => {
    const password = 'correct-horse'
    for (const options of [
      { url: `http://user:${password}@localhost` },
      { url: `postgres://user:${password}@localhost:99999` },
      { url: `user:${password}@localhost:5432` },
      { url: 7 as never },
      { clientOptions: null as never },
      { url: `postgres://user:${password}@localhost`, timeout: -1 },
      { schema: '' },
      { table: 'x'.repeat(64) },
      { table: 'a\0b' },
      { table: '\ud800' },
      { table: 7 as never },
      { provision: 'no' as never },
      { unlogged: 1 as never },
      { preparedStatements: null as never },
      { sweep: true as never },
      { sweep: { interval: 0 } },
      { sweep: { interval: Number.NaN } },
      { sweep: { batchSize: 1.5 } },
    ] satisfies PostgresBackendOptions[]) {
      let error: unknown
      try {
        new PostgresBackend(options)
      } catch (thrown) {
        error = thrown
      }
      expect([options, error]).toEqual([options, expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' })])
      expect(printed(error)).not.toContain(password)
    }
  })

  test('a process that has closed its backend ends at once', async () => {
    const { stdout } = await runScript(join(__dirname, 'fixtures/use-and-close.ts'), server.url)
    expect(Number(stdout)).toBeLessThan(500)
    expect(await count("key = 'use-and-close:runs'")).toBe(1)
  }, 20_000)

  test('closing leaves no connection behind', async () => {
    const connections = async (): Promise<number> => {
      await sleep(100) // the server takes its time to let go
      return Number(
        (await sql.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")).rows[0].count,
      )
    }
    const before = await connections()
    const many = Array.from({ length: 5 }, () => new PostgresBackend({ url: server.url }))
    await Promise.all(many.flatMap(each => [each.get('k'), each.get('k'), each.get('k')]))
    expect(await connections()).toBeGreaterThanOrEqual(before + 5)
    await Promise.all(many.map(each => each.close()))
    expect(await connections()).toBe(before)
  })

  test('a value as large as supports.maxValueBytes comes back', async () => {
    const patient = open({ url: server.url, timeout: 60_000 })
    const value = Buffer.alloc(patient.supports.maxValueBytes, 'CacheKit')
    await patient.set('k', value)
    expect(Buffer.compare((await patient.get('k')) as Buffer, value)).toBe(0)
    expect((await patient.getMany(['k']))[0]?.byteLength).toBe(value.byteLength)
  }, 120_000)
})
