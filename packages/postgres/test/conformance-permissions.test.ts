import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { conformance } from '@cachekit/core/conformance'
import { describeService, type Server, startServer } from '@cachekit/testing'
import { Client } from 'pg'
import { PostgresBackend } from '../src/index.ts'

// The kit under the very role that the README tells operators to make, on the table that it tells them to create.
const readme = readFileSync(join(__dirname, '../README.md'), 'utf8')
const [provisioning = '', runTime = ''] = [...readme.matchAll(/```sql\n((?:CREATE|GRANT)[^`]*)```/g)].map(
  ([, sql]) => sql,
)

describeService('postgres', () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer('postgres')
    const admin = new Client(server.url)
    await admin.connect()
    // Since PostgreSQL 15 this is so by default.
    await admin.query('REVOKE CREATE ON SCHEMA public FROM PUBLIC')
    await admin.query(provisioning)
    await admin.query(runTime)
    await admin.end()
  }, 60_000)
  afterAll(() => server.close())

  const url = (): string => `postgres://cachekit:secret@${server.host}:${server.port}/postgres`

  // Provision is on: it finds the table and creates nothing.
  const create = (options: object): PostgresBackend => new PostgresBackend({ url: url(), ...options })
  for (const { title, run, timeout } of conformance({ create })) test(title, run, timeout)

  test('that role may do nothing else', async () => {
    const role = new Client(url())
    await role.connect()
    for (const sql of [
      'CREATE TABLE public.other ()',
      'TRUNCATE cachekit',
      'DROP TABLE cachekit',
      'ALTER TABLE cachekit ADD more int',
      'CREATE INDEX ON cachekit (value)',
    ]) {
      await expect(role.query(sql)).rejects.toMatchObject({ code: '42501' })
    }
    await role.end()
  })

  test('the table is the one that the backend creates by itself', async () => {
    const admin = new Client(server.url)
    await admin.connect()
    await using backend = new PostgresBackend({ url: server.url, schema: 'own' })
    await backend.open()
    const definition = async (schema: string): Promise<unknown[]> => {
      const table = `${schema}.cachekit`
      const { rows: columns } = await admin.query(
        `SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
         FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum`,
        [table],
      )
      const { rows: relation } = await admin.query(
        `SELECT main.reloptions, toast.reloptions AS toast, main.relpersistence, obj_description(main.oid) AS comment
         FROM pg_class AS main JOIN pg_class AS toast ON toast.oid = main.reltoastrelid WHERE main.oid = $1::regclass`,
        [table],
      )
      const { rows: indexes } = await admin.query(
        `SELECT replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1 ORDER BY indexname`,
        [schema],
      )
      return [columns, relation, indexes]
    }
    expect(await definition('public')).toEqual(await definition('own'))
    await admin.end()
  })
})
