import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import * as os from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { CacheError } from '@cachekit/core'
import { conformance } from '@cachekit/core/conformance'
import { describeService, type Server, startServer } from '@cachekit/testing'
import { type Db, MongoClient } from 'mongodb'
import { MongoDBBackend, type MongoDBBackendOptions } from '../src/index.ts'

// The kit under a user with the very role that the README tells operators to make.
const readme = readFileSync(join(__dirname, '../README.md'), 'utf8')
const [, actions = ''] = /actions: \[(.*?)\]/.exec(readme) ?? []
const runTime = actions.split(', ').map(action => action.slice(1, -1))
const resource = { db: 'cachekit', collection: 'cachekit' }
const secret = 'the-secret'

describeService('mongodb', () => {
  const folder = mkdtempSync(join(os.tmpdir(), 'cachekit-mongodb-key-'))
  let server: Server
  let clients: MongoClient[] = []

  const connect = (user?: string): Db => {
    const url = user === undefined ? server.url : urlOf(user)
    const client = new MongoClient(url, { runtimeAdapters: { os } })
    clients.push(client)
    return client.db('cachekit')
  }
  const urlOf = (user: string, password = secret): string =>
    server.url.replace('mongodb://', `mongodb://${user}:${password}@`).replace('/?', '/cachekit?')
  const create = (options: MongoDBBackendOptions): MongoDBBackend =>
    new MongoDBBackend({ url: urlOf('app'), ...options })

  // Logins need a file that all members share, which a container would not see: so always a program of this machine.
  beforeAll(async () => {
    const keyFile = join(folder, 'key')
    writeFileSync(keyFile, randomUUID().replaceAll('-', ''), { mode: 0o400 })
    server = await startServer('mongodb', { args: ['--keyFile', keyFile], ways: ['local', 'fetched'] })
    const first = connect().client.db('admin')
    await first.command({ createUser: 'root', pwd: secret, roles: ['root'] })
    await first.client.close()
    const root = new MongoClient(server.url.replace('mongodb://', `mongodb://root:${secret}@`), {
      runtimeAdapters: { os },
    })
    clients = [root]
    const db = root.db('cachekit')
    await db.command({ createRole: 'runTime', privileges: [{ resource, actions: runTime }], roles: [] })
    const more = { resource, actions: ['createIndex'] }
    await db.command({ createRole: 'provisioning', privileges: [more], roles: ['runTime'] })
    await db.command({ createUser: 'app', pwd: secret, roles: ['runTime'] })
    await db.command({ createUser: 'reader', pwd: secret, roles: ['read'] })
    await db.command({ createUser: 'operator', pwd: secret, roles: ['provisioning'] })
  }, 120_000)
  afterAll(async () => {
    for (const client of clients) await client.close()
    await server.close()
    rmSync(folder, { recursive: true })
  })

  /** What `set` rejects with, and all that a logger could print of it. */
  async function refusalOf(options: MongoDBBackendOptions): Promise<{ error: CacheError; printed: string }> {
    const backend = create({ timeout: 1000, ...options })
    const start = performance.now()
    const error = await backend.set('k', new TextEncoder().encode('the-value')).catch(reason => reason)
    expect(performance.now() - start).toBeLessThan(1200)
    await backend.close()
    expect(error).toBeInstanceOf(CacheError)
    expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied', retryable: false })
    const printed = inspect(error, { depth: 10, showHidden: true, maxStringLength: null })
    expect(printed).not.toMatch(/the-secret|the-wrong-one|the-value|dGhlLXZhbHVl|7468652D76616C7565/i)
    return { error, printed }
  }

  test('the user at run time cannot provision, and is told what is missing', async () => {
    const { error, printed } = await refusalOf({})
    expect(error.message).toContain('"Permissions" in the README')
    expect(printed).toContain('Unauthorized')
  })

  test('a user who provisions makes the index', async () => {
    const operator = new MongoDBBackend({ url: urlOf('operator') })
    await operator.open()
    await operator.close()
  })

  test('a wrong password is said to be one, and not printed', async () => {
    const { error, printed } = await refusalOf({ url: urlOf('app', 'the-wrong-one') })
    expect(error.message).toContain('password')
    expect(printed).toContain('AuthenticationFailed')
  })

  test('no login at all is a lack of permission', async () => {
    const { printed } = await refusalOf({ url: server.url })
    expect(printed).toContain('Unauthorized')
  })

  test('a write that is not allowed prints nothing of the value', async () => {
    const { error } = await refusalOf({ url: urlOf('reader') })
    expect(error.message).toContain('"Permissions" in the README')
  })

  for (const { title, timeout, run } of conformance({ create })) test(title, run, timeout)

  test('that user may do nothing else', async () => {
    const db = connect('app')
    for (const command of [
      { drop: 'cachekit' },
      { createIndexes: 'cachekit', indexes: [{ key: { x: 1 }, name: 'x' }] },
      { find: 'others' },
      { listCollections: 1 },
      { dropDatabase: 1 },
    ]) {
      await expect(db.command(command)).rejects.toMatchObject({ codeName: 'Unauthorized' })
    }
  })
})
