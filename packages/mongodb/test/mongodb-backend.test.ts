import { randomUUID } from 'node:crypto'
import * as os from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type CacheBackend, CacheError } from '@cachekit/core'
import { describeService, FaultProxy, runScript, type Server, startServer } from '@cachekit/testing'
import { Binary, type Collection, Decimal128, MongoClient, type MongoClientOptions } from 'mongodb'
import { MongoClient as MongoClient6 } from 'mongodb6'
import { MongoDBBackend, type MongoDBBackendOptions } from '../src/index.ts'

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

/** All that a logger could print of an error, with the bytes of buffers as text. */
function printed(error: unknown): string {
  const whole = inspect(error, { depth: 10, showHidden: true, maxStringLength: null })
  return whole.replace(/<Buffer ([^>]*)>/g, (_, hex: string) => String(Buffer.from(hex.replaceAll(' ', ''), 'hex')))
}

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
}, 30_000)

function open(options: MongoDBBackendOptions): MongoDBBackend {
  const backend = new MongoDBBackend(options)
  opened.push(backend)
  return backend
}

/** A client that looks into the server beside the backend. */
function bare(url: string, options: MongoClientOptions = {}): MongoClient {
  const client = new MongoClient(url, { runtimeAdapters: { os }, ...options })
  opened.push(client)
  return client
}

// biome-ignore lint/suspicious/noExplicitAny: what is stored is what these cases ask about
type Stored = Collection<any>

describeService('mongodb', () => {
  let server: Server
  let mongo: MongoClient
  let stored: Stored
  let backend: MongoDBBackend

  // One of its own: these cases read its statistics.
  beforeAll(async () => {
    server = await startServer('mongodb', { args: ['--setParameter', 'ttlMonitorEnabled=false'] })
  }, 120_000)
  afterAll(() => server.close())
  beforeEach(async () => {
    mongo = bare(server.url)
    await mongo.db('cachekit').dropDatabase()
    stored = mongo.db('cachekit').collection('cachekit')
    backend = open({ url: server.url })
    await backend.open()
  }, 30_000)

  /** Which commands the server ran during `work`, and how often. In MongoDB each is one round trip. */
  async function commandsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
    const count = async (): Promise<Record<string, { total: number }>> =>
      (await mongo.db('admin').command({ serverStatus: 1 })).metrics.commands
    const before = await count()
    await work()
    const after = await count()
    const aside = ['serverStatus', 'hello', 'isMaster', 'ping', 'endSessions', 'buildInfo']
    return Object.fromEntries(
      Object.entries(after)
        .map(([name, { total }]) => [name, Number(total) - Number(before[name]?.total ?? 0)] as const)
        .filter(([name, calls]) => calls > 0 && !aside.includes(name)),
    )
  }

  describe('the storage layout', () => {
    test('an entry is a document: the id, the bytes and the deadline', async () => {
      const start = Date.now()
      await backend.set('a b', bytes('välue'), { ttl: 60_000 })
      await backend.namespace('users').set('42', bytes('Ada'))
      expect(await stored.find().sort({ _id: 1 }).toArray()).toEqual([
        { _id: 'cachekit:@users:42', value: new Binary(Buffer.from('Ada')) },
        { _id: 'cachekit:a b', value: new Binary(Buffer.from('välue')), expiresAt: expect.any(Date) },
      ])
      const { expiresAt } = await stored.findOne({ _id: 'cachekit:a b' })
      expect(Math.abs(expiresAt - start - 60_000)).toBeLessThan(5000)
    })

    test('a counter is a number, whichever way it was written', async () => {
      await backend.set('set', bytes('-7'))
      await backend.increment('counted', 2 ** 40)
      await backend.setMany([['batch', bytes('0')]])
      await backend.set('text', bytes('007'))
      const value = async (key: string): Promise<unknown> => (await stored.findOne({ _id: `cachekit:${key}` })).value
      expect(await value('set')).toBe(-7)
      expect(await value('counted')).toBe(2 ** 40)
      expect(await value('batch')).toBe(0)
      expect(await value('text')).toBeInstanceOf(Binary)
      await stored.updateOne({ _id: 'cachekit:counted' }, { $inc: { value: 1 } })
      expect(await backend.increment('counted')).toBe(2 ** 40 + 2)
    })

    test('documents that version 1 wrote are read', async () => {
      await stored.insertMany([
        { _id: 'cachekit:bytes', value: Buffer.from([0, 255, 10]) },
        { _id: 'cachekit:number', value: 42 },
        { _id: 'cachekit:timed', value: Buffer.from('v'), expiresAt: new Date(Date.now() + 60_000) },
        { _id: 'cachekit:expired', value: Buffer.from('v'), expiresAt: new Date(Date.now() - 1) },
      ])
      expect([...((await backend.get('bytes')) ?? [])]).toEqual([0, 255, 10])
      expect(text(await backend.get('number'))).toBe('42')
      expect((await backend.getEntry('timed'))?.ttl).toBeGreaterThan(55_000)
      expect(await backend.get('expired')).toBeUndefined()
    })

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'))],
      ['setMany', b => b.setMany([['k', bytes('1')]])],
      ['add', b => b.add('k', bytes('1'))],
      ['increment', b => b.increment('k')],
    ])('%s over an expired document leaves nothing of it', async (_name, write) => {
      await stored.insertOne({ _id: 'cachekit:k', value: 99, expiresAt: new Date(0), foreign: true })
      await write(backend)
      expect(await stored.findOne({ _id: 'cachekit:k' })).toEqual({ _id: 'cachekit:k', value: 1 })
    })

    test('what looks like an expression is only data', async () => {
      for (const value of ['$$ROOT', '$value', '{ "$literal": 1 }']) {
        await backend.set(value, bytes(value))
        expect(text(await backend.get(value))).toBe(value)
        expect(await backend.compareAndSet(value, bytes(value), bytes('$expiresAt'))).toBe(true)
        expect(text(await backend.get(value))).toBe('$expiresAt')
      }
    })
  })

  describe('is one command', () => {
    const keys = range(100)
    const value = bytes('value')
    beforeEach(() => backend.setMany(keys.map(key => [key, value])))

    test.each<[string, () => Promise<unknown>, Record<string, number>]>([
      ['getMany of 100 keys', () => backend.getMany(keys), { find: 1 }],
      ['setMany of 100 keys', () => backend.setMany(keys.map(key => [key, value, { ttl: 1000 }])), { update: 1 }],
      ['deleteMany of 100 keys', () => backend.deleteMany(keys), { delete: 1 }],
      ['get', () => backend.get('key-0'), { find: 1 }],
      ['getEntry', () => backend.getEntry('key-0'), { find: 1 }],
      ['has', () => backend.has('key-0'), { find: 1 }],
      ['set', () => backend.set('key-0', value), { update: 1 }],
      ['add that adds', () => backend.add('new', value), { update: 1 }],
      ['add that finds an entry', () => backend.add('key-0', value), { update: 1 }],
      ['increment that begins', () => backend.increment('counter'), { findAndModify: 1 }],
      ['compareAndSet', () => backend.compareAndSet('key-0', value, value), { update: 1 }],
      ['compareAndDelete', () => backend.compareAndDelete('key-0', value), { delete: 1 }],
      ['touch', () => backend.touch('key-0', { ttl: 1000 }), { update: 1 }],
      ['delete', () => backend.delete('key-0'), { delete: 1 }],
      ['clear of a hundred entries, beside the look for them,', () => backend.clear(), { find: 1, delete: 1 }],
      ['clear of nothing', () => backend.namespace('empty').clear(), { find: 1 }],
    ])('%s', async (_name, call, commands) => {
      expect(await commandsOf(call)).toEqual(commands)
    })

    test('increment that goes on', async () => {
      await backend.increment('counter', 41)
      expect(await commandsOf(() => backend.increment('counter'))).toEqual({ findAndModify: 1 })
      expect(text(await backend.get('counter'))).toBe('42')
    })

    test('getMany of 1,000 keys', async () => {
      await backend.setMany(range(1000).map(key => [key, value]))
      expect(await commandsOf(() => backend.getMany(range(1000)))).toEqual({ find: 1 })
    })
  })

  describe('clear', () => {
    test('leaves 20,000 documents of others, and never asks for more than a page', async () => {
      const foreign = ['cachekit', 'cachekit;', 'cachekit9:', 'cachekitX:', 'cachekj:']
      await stored.insertMany(range(4000).flatMap(key => foreign.map(prefix => ({ _id: prefix + key, value: 1 }))))
      await backend.setMany(range(2500).map(key => [key, bytes('1')]))
      expect(await commandsOf(() => backend.clear())).toEqual({ find: 3, delete: 3 })
      expect(await stored.countDocuments()).toBe(20_000)
    })

    test('examines no more of the collection than its own namespace', async () => {
      await stored.insertMany(range(5000).map(key => ({ _id: `other:${key}`, value: 1 })))
      await backend.setMany(range(10).map(key => [key, bytes('1')]))
      const examined = async (): Promise<number> =>
        Number((await mongo.db('admin').command({ serverStatus: 1 })).metrics.queryExecutor.scanned)
      const before = await examined()
      await backend.clear()
      expect((await examined()) - before).toBeLessThan(50)
      expect(await stored.countDocuments()).toBe(5000)
    })

    test('of a namespace leaves its parent and its siblings', async () => {
      await backend.set('@users', bytes('1'))
      await backend.set('k', bytes('1'))
      await backend.namespace('users2').set('k', bytes('1'))
      await backend.namespace('users').set('k', bytes('1'))
      await backend.namespace('users').namespace('deep').set('k', bytes('1'))
      await backend.namespace('users').clear()
      const left = await stored.distinct('_id')
      expect(left.sort()).toEqual(['cachekit:@@users', 'cachekit:@users2:k', 'cachekit:k'])
    })
  })

  describe('values of 16 MiB', () => {
    const large = (fill: number): Uint8Array => new Uint8Array(backend.supports.maxValueBytes).fill(fill)
    const key = 'k'.repeat(8192)
    let patient: MongoDBBackend
    beforeEach(() => {
      patient = open({ url: server.url, timeout: 20_000 })
    })

    test('are stored under the longest key, by every write', async () => {
      await patient.set(key, large(1), { ttl: 600_000 })
      await patient.setMany([[`${key.slice(1)}m`, large(2), { ttl: 600_000 }]])
      expect(await patient.add(`${key.slice(1)}a`, large(3), { ttl: 600_000 })).toBe(true)
      const values = await patient.getMany([key, `${key.slice(1)}m`, `${key.slice(1)}a`])
      expect(values.map(value => [value?.byteLength, value?.[0], value?.at(-1)])).toEqual(
        [1, 2, 3].map(fill => [backend.supports.maxValueBytes, fill, fill]),
      )
    }, 60_000)

    test('are compared although two do not fit into one command', async () => {
      await patient.set(key, large(1))
      expect(await patient.compareAndSet(key, large(2), large(3))).toBe(false)
      const swaps = await Promise.all([4, 5, 6].map(fill => patient.compareAndSet(key, large(1), large(fill))))
      expect(swaps.filter(Boolean)).toEqual([true])
      expect((await patient.get(key))?.[0]).toBe(4 + swaps.indexOf(true))
      expect(Object.keys(await stored.findOne())).toEqual(['_id', 'value'])
      expect(await patient.compareAndDelete(key, large(4 + swaps.indexOf(true)))).toBe(true)
    }, 60_000)
  })

  describe('a document that is none of ours', () => {
    const foreign = ['text', 1.5, { sub: 1 }, null, Decimal128.fromString('1'), 2 ** 60]

    test.each(foreign)('with the value %p is CACHE_CORRUPT_ENTRY and stays as it is', async value => {
      await stored.insertOne({ _id: 'cachekit:k', value })
      for (const call of [() => backend.get('k'), () => backend.getEntry('k'), () => backend.increment('k')]) {
        expect(await errorOf(call())).toMatchObject({ code: 'CACHE_CORRUPT_ENTRY', retryable: false })
      }
      expect(await backend.add('k', bytes('1'))).toBe(false)
      expect(await backend.compareAndSet('k', bytes('x'), bytes('2'))).toBe(false)
      await backend.set('other', bytes('1'))
      expect((await backend.getMany(['k', 'other'])).map(text)).toEqual([undefined, '1'])
      expect(await stored.findOne({ _id: 'cachekit:k' })).toEqual({ _id: 'cachekit:k', value })
      await backend.set('k', bytes('new'))
      expect(text(await backend.get('k'))).toBe('new')
    })

    test('is removed by delete', async () => {
      await stored.insertOne({ _id: 'cachekit:k', value: 'text' })
      expect(await backend.delete('k')).toBe(true)
      expect(await stored.countDocuments()).toBe(0)
    })
  })

  describe('the TTL index', () => {
    test('removes what has expired, and nothing else, as soon as the TTL monitor looks', async () => {
      const quick = await startServer('mongodb', { args: ['--setParameter', 'ttlMonitorSleepSecs=1'] })
      opened.push(quick)
      const collection = bare(quick.url).db('cachekit').collection('cachekit')
      const own = open({ url: quick.url })
      await own.setMany(range(50).map(key => [key, bytes('1'), { ttl: 500 }]))
      await own.set('later', bytes('1'), { ttl: 60_000 })
      await own.set('for ever', bytes('1'))
      await own.increment('counter', 1, { ttl: 500 })
      expect(await collection.countDocuments()).toBe(53)
      const end = Date.now() + 20_000
      while ((await collection.countDocuments()) > 2 && Date.now() < end) await sleep(100)
      expect((await own.getMany(['later', 'for ever', 'counter'])).map(text)).toEqual(['1', '1', undefined])
      expect(await collection.countDocuments()).toBe(2)
    }, 120_000)

    test('is made once, and an equal one of another name is as good', async () => {
      expect(await stored.indexes()).toContainEqual(
        expect.objectContaining({ key: { expiresAt: 1 }, expireAfterSeconds: 0 }),
      )
      expect(await commandsOf(() => open({ url: server.url }).open())).toEqual({ listIndexes: 1 })
      await stored.dropIndexes()
      await stored.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0, name: 'of an administrator' })
      await open({ url: server.url, provision: false }).set('k', bytes('1'))
      await open({ url: server.url }).set('k', bytes('1'))
    })

    test.each<[string, object]>([
      ['another time', { expireAfterSeconds: 3600 }],
      ['no time', {}],
      ['a filter', { expireAfterSeconds: 0, partialFilterExpression: { value: 1 } }],
    ])('with %s is an error that says what to do', async (_what, options) => {
      await stored.dropIndexes()
      await stored.createIndex({ expiresAt: 1 }, { ...options, name: 'foreign' })
      for (const provision of [true, false]) {
        const error = await errorOf(open({ url: server.url, provision }).set('k', bytes('1')))
        expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied', retryable: false })
        expect(error.message).toContain("db.cachekit.dropIndex('foreign')")
        expect(error.message).toContain('createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 })')
      }
      expect(await stored.countDocuments()).toBe(0)
    })

    test('is asked for, and not made, with provision: false', async () => {
      for (const drop of [() => stored.dropIndexes(), () => stored.drop()]) {
        await drop()
        const own = open({ url: server.url, provision: false })
        const commands = await commandsOf(async () => {
          const error = await errorOf(own.set('k', bytes('1')))
          expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied' })
          expect(error.message).toContain('db.cachekit.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 })')
        })
        expect(commands).toEqual({ listIndexes: 1 })
        await stored.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 })
        await own.set('k', bytes('1'))
      }
    })

    test('is of no use to a collection with a collation, by which other keys are equal', async () => {
      await stored.drop()
      await mongo.db('cachekit').createCollection('cachekit', { collation: { locale: 'en', strength: 2 } })
      const error = await errorOf(open({ url: server.url }).set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED' })
      expect(error.message).toContain('collation')
    })
  })

  test('a write whose answer is lost, and that the driver sends again, is done once and answers as the first time', async () => {
    const proxy = await FaultProxy.start(server)
    opened.push(proxy)
    const distant = open({ url: server.url.replace(`${server.host}:${server.port}`, `${proxy.host}:${proxy.port}`) })
    await distant.set('there', bytes('1'))
    await distant.setMany(
      ['counter', 'mortal'].map(key => [key, bytes('7'), { ttl: key === 'mortal' ? 60_000 : undefined }]),
    )
    for (const [call, answer, key, left] of [
      [() => distant.increment('counter'), 8, 'counter', '8'],
      [() => distant.increment('mortal', -2), 5, 'mortal', '5'],
      [() => distant.increment('new counter', 3), 3, 'new counter', '3'],
      [() => distant.add('there', bytes('2')), false, 'there', '1'],
      [() => distant.add('new', bytes('2')), true, 'new', '2'],
      [() => distant.compareAndSet('there', bytes('1'), bytes('3')), true, 'there', '3'],
      [() => distant.delete('there'), true, 'there', undefined],
    ] as const) {
      await proxy.inject({ dropAnswers: true })
      const answered = call()
      await sleep(100) // done by now
      await proxy.inject({ reset: true })
      await proxy.heal()
      expect([await answered, text(await backend.get(key))]).toEqual([answer, left])
    }
  }, 30_000)

  test('twenty processes that start at once on an empty database all succeed', async () => {
    const database = `race-${randomUUID()}`
    const script = join(__dirname, 'fixtures/use-and-close.ts')
    await Promise.all(range(20).map(() => runScript(script, server.url, database)))
    const collection = mongo.db(database).collection<{ _id: string; value: unknown }>('cachekit')
    expect(await collection.find().toArray()).toEqual([{ _id: 'cachekit:runs', value: 20 }])
    expect(await collection.indexes()).toHaveLength(2)
    await mongo.db(database).dropDatabase()
  }, 120_000)

  test('twenty backends of one process that start at once on an empty database all succeed', async () => {
    for (let round = 0; round < 5; round++) {
      await mongo.db('cachekit').dropDatabase()
      const many = range(20).map(() => new MongoDBBackend({ url: server.url, timeout: 20_000 }))
      await Promise.all(many.flatMap(each => [each.increment('runs'), each.increment('runs')]))
      expect(text(await backend.get('runs'))).toBe('40')
      await Promise.all(many.map(each => each.close()))
    }
  }, 60_000)

  describe('what the server refuses', () => {
    const secret = 'the-secret-value'

    const admin = (url: string, command: object): Promise<unknown> => bare(url).db('admin').command(command)

    /** A rule of the collection's owner against some ids. */
    const refuseBad = (): Promise<unknown> =>
      mongo.db('cachekit').command({ collMod: 'cachekit', validator: { _id: { $not: /bad/ } } })

    test('is CACHE_BACKEND_FAILED, not applied, and no value is printed', async () => {
      await refuseBad()
      for (const write of [
        () => backend.set('bad', bytes(secret)),
        () => backend.add('bad', bytes(secret)),
        () => backend.increment('bad'),
        () => backend.setMany([['bad', bytes(secret)]]),
      ]) {
        const error = await errorOf(write())
        expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', outcome: 'not-applied', retryable: false })
        expect(error.cause).toMatchObject({ code: 121 })
        expect(printed(error)).not.toContain(secret)
      }
    })

    test('in a part of a batch is CACHE_BATCH_FAILED with its keys', async () => {
      await refuseBad()
      const keys = range(30).map((key, index) => (index % 3 === 1 ? `bad-${key}` : key))
      const error = await errorOf(backend.setMany(keys.map(key => [key, bytes(secret)])))
      expect(error).toMatchObject({ code: 'CACHE_BATCH_FAILED', outcome: 'not-applied' })
      expect(error.keys).toEqual(keys.filter(key => key.startsWith('bad')))
      expect(printed(error)).not.toContain(secret)
      expect(await stored.countDocuments()).toBe(20)
    })

    test('because it is no primary is CACHE_UNAVAILABLE, and says what to do', async () => {
      const own = await startServer('mongodb')
      opened.push(own)
      const misled = open({ url: own.url })
      await misled.set('k', bytes('1'))
      const admin = bare(own.url).db('admin')
      await admin.command({ replSetStepDown: 60, force: true })
      for (const write of [
        () => misled.set('k', bytes('2')),
        () => misled.add('new', bytes('2')),
        () => misled.increment('k'),
        () => misled.delete('k'),
        () => misled.setMany([['k', bytes('2')]]),
        () => misled.deleteMany(['k']),
      ]) {
        const error = await errorOf(write())
        expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', retryable: true })
        expect(error.message).toContain('not the primary')
      }
      expect(text(await misled.get('k'))).toBe('1')
    }, 60_000)

    test.each([64, 100, 11601])(
      'by a write concern that failed (%p) may have been applied all the same',
      async code => {
        const own = await startServer('mongodb', { args: ['--setParameter', 'enableTestCommands=1'] })
        opened.push(own)
        const misled = open({ url: own.url, timeout: 20_000 })
        await misled.set('bad', bytes('1'))
        const database = bare(own.url).db('cachekit')
        const documents = database.collection<{ _id: string; value: unknown }>('cachekit')
        await database.command({ collMod: 'cachekit', validator: { _id: { $not: /bad-/ } } })
        const data = {
          failCommands: ['update', 'findAndModify', 'delete'],
          writeConcernError: { code, errmsg: secret },
        }
        for (const [write, applied] of [
          [() => misled.set('bad', bytes('2')), { _id: 'cachekit:bad', value: 2 }],
          [() => misled.increment('bad'), { _id: 'cachekit:bad', value: 3 }],
          [() => misled.setMany([['bad', bytes('4')]]), { _id: 'cachekit:bad', value: 4 }],
          // One of these is refused, and the other not certain.
          [() => misled.setMany(['bad-1', 'bad'].map(key => [key, bytes('5')])), { _id: 'cachekit:bad', value: 5 }],
          [() => misled.deleteMany(['bad']), undefined],
        ] as const) {
          await admin(own.url, { configureFailPoint: 'failCommand', mode: { times: 1 }, data })
          const error = await errorOf(write())
          expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', outcome: 'unknown', retryable: true })
          expect(printed(error)).not.toContain(secret)
          expect(await documents.findOne({ _id: 'cachekit:bad' })).toEqual(applied ?? null)
        }
      },
      60_000,
    )

    describe('by code', () => {
      const alike = (code: string, retryable: boolean, outcome: string, errorCodes: number[]) =>
        errorCodes.map(errorCode => [errorCode, code, retryable, outcome] as const)

      let own: Server
      beforeAll(async () => {
        own = await startServer('mongodb', { args: ['--setParameter', 'enableTestCommands=1'] })
      }, 120_000)
      afterAll(() => own.close())
      afterEach(() => admin(own.url, { configureFailPoint: 'failCommand', mode: 'off' }))

      test.each([
        ...alike('CACHE_UNAVAILABLE', true, 'unknown', [6, 7, 89, 9001, 64, 79, 100]),
        ...alike('CACHE_UNAVAILABLE', true, 'unknown', [91, 11600, 189, 11602, 10058, 10107, 13435, 13436]),
        ...alike('CACHE_TIMEOUT', true, 'unknown', [50, 262]),
        ...alike('CACHE_VALUE_TOO_LARGE', false, 'not-applied', [10334, 17280, 17419, 17420]),
        ...alike('CACHE_BACKEND_FAILED', false, 'not-applied', [8, 13, 18, 20, 85, 86, 166, 14031]),
      ])(
        '%p is %s',
        async (errorCode, code, retryable, outcome) => {
          const refused = open({ url: own.url })
          await refused.set('k', bytes('1'))
          const data = { failCommands: ['find', 'update', 'findAndModify', 'delete'], errorCode }
          // The driver may try once more.
          const arm = (mode: unknown): Promise<unknown> =>
            admin(own.url, { configureFailPoint: 'failCommand', mode, data })
          for (const write of [
            () => refused.set('k', bytes(secret)),
            () => refused.increment('k'),
            () => refused.delete('k'),
            () => refused.setMany([['k', bytes(secret)]]),
            () => refused.deleteMany(['k']),
          ]) {
            await arm({ times: 2 })
            const error = await errorOf(write())
            expect(error).toMatchObject({ code, retryable, outcome, cause: { code: errorCode } })
            expect(printed(error)).not.toContain(secret)
          }
          await arm({ times: 2 })
          expect(await errorOf(refused.get('k'))).toMatchObject({ code, retryable })
          await arm('off')
          expect(text(await refused.get('k'))).toBe('1')
        },
        20_000,
      )

      test('a connection that is closed instead of an answer is CACHE_UNAVAILABLE for every write', async () => {
        const refused = open({ url: own.url })
        await refused.set('k', bytes('1'))
        const data = { failCommands: ['update', 'findAndModify', 'delete'], closeConnection: true }
        for (const write of [
          () => refused.set('k', bytes(secret)),
          () => refused.increment('k'),
          () => refused.setMany([['k', bytes(secret)]]),
          () => refused.deleteMany(['k']),
        ]) {
          await admin(own.url, { configureFailPoint: 'failCommand', mode: { times: 2 }, data })
          expect(await errorOf(write())).toMatchObject({
            code: 'CACHE_UNAVAILABLE',
            retryable: true,
            outcome: 'unknown',
          })
        }
      })
    })

    test('because it does not reach a majority is CACHE_UNAVAILABLE or CACHE_TIMEOUT, and may have been applied', async () => {
      const own = await startServer('mongodb')
      opened.push(own)
      const alone = open({ url: own.url, timeout: 500 })
      await alone.set('k', bytes('1'))
      const admin = bare(own.url).db('admin')
      const { config } = await admin.command({ replSetGetConfig: 1 })
      config.members.push({ _id: 1, host: '127.0.0.1:1', priority: 0 })
      config.version++
      await admin.command({ replSetReconfig: config, force: true })
      const error = await errorOf(alone.set('k', bytes('2')))
      expect(['CACHE_UNAVAILABLE', 'CACHE_TIMEOUT']).toContain(error.code)
    }, 60_000)
  })

  describe('a client that is passed in', () => {
    test('is used, and neither closed nor changed', async () => {
      const client = bare(server.url)
      const before = client.listenerCount('error')
      const guest = new MongoDBBackend({ client })
      await guest.set('k', bytes('1'))
      expect(client.listenerCount('error')).toBe(before + 1)
      await guest.close()
      expect(client.listenerCount('error')).toBe(before)
      expect(await client.db('cachekit').collection('cachekit').countDocuments()).toBe(1)
    })

    test('keeps the listeners of others when two backends share it', async () => {
      const client = bare(server.url)
      const listener = jest.fn()
      client.on('error', listener)
      const before = client.listenerCount('error')
      const [one, two] = [new MongoDBBackend({ client }), open({ client, namespace: 'two' })]
      await Promise.all([one.get('k'), two.get('k')])
      await one.close()
      expect(client.listeners('error')).toContain(listener)
      expect(client.listenerCount('error')).toBe(before + 1)
      expect(await two.get('k')).toBeUndefined()
    })

    test('works whatever its defaults are, which majority and primary replace', async () => {
      const client = bare(server.url, {
        writeConcern: { w: 0 },
        readConcern: { level: 'available' },
        readPreference: 'secondary',
        promoteBuffers: false,
        useBigInt64: true,
        monitorCommands: true,
      })
      const commands: Record<string, unknown>[] = []
      client.on('commandStarted', ({ command }) => commands.push(command))
      const guest = open({ client })
      await guest.set('k', bytes('v'), { ttl: 1000 })
      expect(await guest.increment('n', 2 ** 40)).toBe(2 ** 40)
      expect(text(await guest.get('n'))).toBe(String(2 ** 40))
      expect(text((await guest.getMany(['k']))[0])).toBe('v')
      const [update, increment, get] = commands.filter(({ listIndexes }) => listIndexes === undefined)
      expect(update?.writeConcern).toMatchObject({ w: 'majority' })
      expect(increment?.writeConcern).toMatchObject({ w: 'majority' })
      expect(get?.readConcern).toMatchObject({ level: 'majority' })
    })

    test('may be one of another version of the driver', async () => {
      const client = new MongoClient6(server.url)
      opened.push(client)
      const guest = open({ client })
      await guest.setMany(range(200).map(key => [key, bytes(key), { ttl: 60_000 }]))
      expect((await guest.getMany(range(200))).map(text)).toEqual(range(200))
      expect(await guest.add('key-0', bytes('1'))).toBe(false)
      expect(await guest.add('new', bytes('1'))).toBe(true)
      expect(await guest.increment('new', 2)).toBe(3)
      expect(await guest.compareAndSet('key-1', bytes('key-1'), bytes('2'))).toBe(true)
      expect((await guest.getEntry('key-2'))?.ttl).toBeGreaterThan(50_000)
      await guest.clear()
      expect(await stored.countDocuments()).toBe(0)
    })

    test('that is closed, or could not connect at first, is said to be of no use', async () => {
      const closed = bare(server.url)
      await closed.connect()
      await closed.close()
      const error = await errorOf(open({ client: closed }).set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', outcome: 'not-applied' })
      expect(error.message).toContain('pass in a new one')
    })

    test('is refused together with url or clientOptions, or when it is no client', () => {
      const client = bare(server.url)
      for (const options of [{ url: server.url }, { clientOptions: {} }]) {
        expect(() => new MongoDBBackend({ client, ...options })).toThrow('Pass client alone')
      }
      expect(() => new MongoDBBackend({ client })).not.toThrow()
      for (const none of [null, 'mongodb', {}, new Map()]) {
        expect(() => new MongoDBBackend({ client: none as never })).toThrow('client must be')
      }
    })
  })

  test('the database is the one in the url, and the collection as named', async () => {
    const url = server.url.replace('/?', '/in%2Durl?')
    await open({ url, collection: 'other.name' }).set('k', bytes('1'))
    await open({ url, database: 'in-option' }).set('k', bytes('1'))
    expect(await mongo.db('in-url').collection('other.name').countDocuments()).toBe(1)
    expect(await mongo.db('in-option').collection('cachekit').countDocuments()).toBe(1)
    expect(await stored.countDocuments()).toBe(0)
    for (const name of ['in-url', 'in-option']) await mongo.db(name).dropDatabase()
  })

  test('eventual reads may go to secondaries and need no majority; writes do', async () => {
    const eventual = open({ url: server.url, reads: 'eventual' })
    await eventual.set('k', bytes('1'))
    expect(text(await eventual.get('k'))).toBe('1')
    expect(await eventual.increment('k')).toBe(2)
    const client = bare(server.url, { monitorCommands: true })
    const commands: Record<string, unknown>[] = []
    client.on('commandStarted', ({ command }) => commands.push(command))
    await open({ client, reads: 'eventual' }).get('k')
    expect(commands.at(-1)).toMatchObject({ find: 'cachekit', readConcern: { level: 'local' } })
    // What a lagging secondary does not know of would be left.
    await open({ client, reads: 'eventual' }).namespace('other').clear()
    expect(commands.at(-1)).toMatchObject({ find: 'cachekit', readConcern: { level: 'majority' } })
  })

  test('options that do not fit are refused, and no password is printed', () => {
    const password = 'correct-horse'
    for (const options of [
      { url: `http://user:${password}@localhost` },
      { url: `mongodb://user:${password}@localhost:99999` },
      { url: `user:${password}@localhost:27017` },
      { url: `mongodb://user:${password}@localhost/a.b` },
      { url: `mongodb://user:${password}@localhost/?unknownOption=1` },
      { url: new URL(`mongodb://user:${password}@localhost`) as never },
      { url: `mongodb://user:${password}@localhost`, timeout: -1 },
      { url: `mongodb://user:${password}@localhost`, reads: 'stale' as never },
      { url: `mongodb://user:${password}@localhost`, provision: 'no' as never },
      { database: '' },
      { database: 'a$b' },
      { collection: '' },
      { collection: 'system.users' },
      { collection: 7 as never },
      { clientOptions: { maxPoolSize: 'many' as never } },
    ] satisfies MongoDBBackendOptions[]) {
      let error: unknown
      try {
        new MongoDBBackend(options)
      } catch (thrown) {
        error = thrown
      }
      expect([options, error]).toEqual([options, expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' })])
      expect(printed(error)).not.toContain(password)
    }
  })

  test('a process that has closed its backend ends at once', async () => {
    const { stdout } = await runScript(join(__dirname, 'fixtures/use-and-close.ts'), server.url, 'cachekit', 'closed')
    expect(Number(stdout)).toBeLessThan(500)
    expect(text(await backend.get('closed'))).toBe('1')
  }, 20_000)

  test('closing leaves no connection behind', async () => {
    const connections = async (): Promise<number> =>
      (await mongo.db('admin').command({ serverStatus: 1 })).connections.current
    await sleep(300)
    const before = await connections()
    const many = range(5).map(() => new MongoDBBackend({ url: server.url }))
    await Promise.all(many.map(each => each.get('k')))
    expect(await connections()).toBeGreaterThanOrEqual(before + 5)
    await Promise.all(many.map(each => each.close()))
    const end = Date.now() + 5000
    while ((await connections()) > before && Date.now() < end) await sleep(50)
    expect(await connections()).toBeLessThanOrEqual(before)
  }, 20_000)
})
