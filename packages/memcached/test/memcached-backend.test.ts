import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type CacheBackend, CacheError } from '@cachekit/core'
import { describeService, FaultProxy, runScript, type Server, startServer } from '@cachekit/testing'
import Memcached from 'memcached'
import { MemcachedBackend, type MemcachedBackendOptions } from '../src/index.ts'
import { entryKey, tagOf } from '../src/schema.ts'
import { ask, countsOf, keyIn, keysIn } from './ask.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value)
const range = (length: number): string[] => Array.from({ length }, (_, index) => `key-${index}`)
const at = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`
const day = 24 * 60 * 60 * 1000

/** What `call` rejects with. */
async function errorOf(call: Promise<unknown>): Promise<CacheError> {
  const error = await call.then(
    value => new Error(`resolved: ${inspect(value)}`),
    reason => reason,
  )
  if (error instanceof CacheError) return error
  throw error
}

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

function open(options: MemcachedBackendOptions): MemcachedBackend {
  const backend = new MemcachedBackend(options)
  opened.push(backend)
  return backend
}

async function ownServer(...args: string[]): Promise<Server> {
  const server = await startServer('memcached', { args })
  opened.push(server)
  return server
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cachekit-'))
  opened.push({ close: () => rm(folder, { recursive: true }) })
  return folder
}

async function proxyTo(server: Server): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(server)
  opened.push(proxy)
  return proxy
}

/** Stores an item beside the backend. `flags` are what clients mark the kind of a value with. */
async function put(server: Server, key: string, value: string, flags = 0): Promise<void> {
  expect(await ask(server, `set ${key} ${flags} 0 ${value.length}\r\n${value}`)).toBe('STORED\r\n')
}

describeService('memcached', () => {
  let server: Server
  let backend: MemcachedBackend

  // One of its own: these cases empty it and read its statistics.
  beforeAll(async () => {
    server = await startServer('memcached')
  }, 60_000)
  afterAll(() => server.close())
  beforeEach(async () => {
    await ask(server, 'flush_all')
    backend = open({ servers: at(server) })
  })

  describe('the storage layout', () => {
    test('an entry is its deadline and its bytes, under its key and the tag of its generation', async () => {
      await backend.set('greeting', bytes('hello'))
      await backend.namespace('users').set('42', bytes('Ada'))
      const keys = await keysIn(server)
      expect(keys).toEqual([
        'cachekit:#',
        'cachekit:@users:#',
        expect.stringMatching(/^cachekit:@users:42#[\w-]{16}$/),
        expect.stringMatching(/^cachekit:greeting#[\w-]{16}$/),
      ])
      expect(await ask(server, `get ${keys[3]}`)).toContain(' 0 11\r\nck1 0\nhello\r\n')
      expect(await ask(server, 'get cachekit:#')).toMatch(/ 0 16\r\n[\w-]{16}\r\n/)
      const before = Date.now()
      await backend.set('greeting', bytes('hello'), { ttl: 60_000 })
      const deadline = Number(/ck1 (\d+)\nhello/.exec(await ask(server, `get ${keys[3]}`))?.[1])
      expect(deadline).toBeGreaterThanOrEqual(before + 60_000)
      expect(deadline).toBeLessThanOrEqual(Date.now() + 60_000)
    })

    test('records of version 1 are read', async () => {
      const deadline = Date.UTC(2100, 0)
      await put(server, 'cachekit:#', 'AAAAAAAAAAAAAAAA')
      await put(server, 'cachekit:@users:#', 'BBBBBBBBBBBBBBBB')
      await put(server, 'cachekit:greeting#2LYH9YdDZHYWmKhO', 'ck1 0\nhello')
      await put(server, 'cachekit:with%20deadline#2LYH9YdDZHYWmKhO', `ck1 ${deadline}\nhello`)
      await put(server, 'cachekit:@users:42#p2fm3N0rHeIreXAC', 'ck1 0\nAda')
      expect(text(await backend.get('greeting'))).toBe('hello')
      expect((await backend.getEntry('with deadline'))?.ttl).toBeGreaterThan(deadline - Date.now() - 1000)
      expect(text(await backend.namespace('users').get('42'))).toBe('Ada')
    })

    test('keys are printable ASCII of at most 250 bytes', async () => {
      const names = ['a b', 'a\r\nflush_all', 'käse 🧀', '100%', `${'k'.repeat(300)}1`, `${'k'.repeat(300)}2`, '\0']
      for (const name of names) await backend.set(name, bytes(name))
      for (const name of names) expect(text(await backend.get(name))).toBe(name)
      expect((await backend.getMany(names)).map(text)).toEqual(names)
      const keys = await keysIn(server)
      expect(keys.length).toBe(names.length + 1)
      for (const key of keys) expect(key).toMatch(/^[\x21-\x7e]{1,250}$/)
    })
  })

  describe('values', () => {
    test('720 KB of random bytes, which the driver refuses, come back', async () => {
      const value = randomBytes(720 * 1024)
      await backend.set('k', value)
      expect(value.equals((await backend.get('k')) as Uint8Array)).toBe(true)
    })

    test('line ends and words of the protocol in values change nothing', async () => {
      const values = ['\r\n', 'END\r\n', '\r\nEND\r\n', 'VALUE k 0 1\r\nx\r\nEND\r\n', '', '\r', 'SERVER_ERROR \r\n']
      for (const [index, value] of values.entries()) await backend.set(`k${index}`, bytes(value))
      expect((await backend.getMany(values.map((_, index) => `k${index}`))).map(text)).toEqual(values)
    })

    test('the largest value is stored under the longest key, and one byte more is refused before it is sent', async () => {
      const key = 'k'.repeat(224)
      const { maxValueBytes } = backend.supports
      expect(maxValueBytes).toBe(1024 * 1024 - 512)
      await backend.set(key, randomBytes(maxValueBytes), { ttl: day })
      expect((await backend.get(key))?.byteLength).toBe(maxValueBytes)
      expect((await keyIn(server, 'cachekit:k')).length).toBe(250)
      const before = (await countsOf(server)).cmd_set
      expect(await errorOf(backend.set(key, randomBytes(maxValueBytes + 1)))).toMatchObject({
        code: 'CACHE_VALUE_TOO_LARGE',
        outcome: 'not-applied',
      })
      expect((await countsOf(server)).cmd_set).toBe(before)
    })

    test('a server that takes less says so in its settings: larger values are refused before they are sent', async () => {
      const small = await ownServer('-I', '512k')
      const cramped = open({ servers: at(small) })
      const limit = 512 * 1024 - 512
      await cramped.set('k', bytes('old'))
      const tooLarge = { code: 'CACHE_VALUE_TOO_LARGE', outcome: 'not-applied' }
      for (const write of [
        () => cramped.set('k', new Uint8Array(limit + 1)),
        () => cramped.add('new', new Uint8Array(limit + 1)),
        () => cramped.compareAndSet('k', bytes('old'), new Uint8Array(limit + 1)),
      ]) {
        expect(await errorOf(write())).toMatchObject(tooLarge)
      }
      expect(
        await errorOf(
          cramped.setMany([
            ['k', new Uint8Array(limit + 1)],
            ['other', bytes('new')],
          ]),
        ),
      ).toMatchObject({ code: 'CACHE_BATCH_FAILED', keys: ['k'] })
      // Memcached would have removed what was there.
      expect(text(await cramped.get('k'))).toBe('old')
      expect(text(await cramped.get('other'))).toBe('new')
      await cramped.set('k', randomBytes(limit))
      expect((await cramped.get('k'))?.byteLength).toBe(limit)
    })

    test('a server that takes more can be used with maxItemSize', async () => {
      const large = await ownServer('-I', '4m')
      const roomy = open({ servers: at(large), maxItemSize: 4 * 1024 * 1024 })
      const value = randomBytes(roomy.supports.maxValueBytes)
      await roomy.set('k', value)
      expect(value.equals((await roomy.get('k')) as Uint8Array)).toBe(true)
      expect(value.byteLength).toBe(4 * 1024 * 1024 - 512)
    })
  })

  describe('expiry', () => {
    /** For how many more milliseconds the server keeps the item, as it thinks itself. */
    async function keptFor(key: string): Promise<number> {
      const dump = await ask(server, 'lru_crawler metadump hash')
      const [, exp] = new RegExp(`^key=cachekit%3A${key}%23\\S+ exp=(-?\\d+)`, 'm').exec(dump) ?? []
      return exp === '-1' ? Number.POSITIVE_INFINITY : Number(exp) * 1000 - Date.now()
    }

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'), { ttl: 12_345 })],
      ['setMany', b => b.setMany([['k', bytes('1'), { ttl: 12_345 }]])],
      ['add', b => b.add('k', bytes('1'), { ttl: 12_345 })],
      ['increment of a new counter', b => b.increment('k', 1, { ttl: 12_345 })],
      [
        'increment of an old counter',
        b => b.set('k', bytes('0'), { ttl: 12_345 }).then(() => b.increment('k', 1, { ttl: 99_999 })),
      ],
      [
        'compareAndSet',
        b => b.set('k', bytes('0')).then(() => b.compareAndSet('k', bytes('0'), bytes('1'), { ttl: 12_345 })),
      ],
      ['touch', b => b.set('k', bytes('1')).then(() => b.touch('k', { ttl: 12_345 }))],
    ])('%s tells the server, some seconds more than the exact deadline', async (_name, write) => {
      await write(backend)
      expect((await backend.getEntry('k'))?.ttl).toBeGreaterThan(11_345)
      expect((await backend.getEntry('k'))?.ttl).toBeLessThanOrEqual(12_345)
      expect(await keptFor('k')).toBeGreaterThan(13_345)
      expect(await keptFor('k')).toBeLessThan(30_000)
    })

    test.each([1, 900, 30 * day - 1000, 30 * day, 30 * day + 1, 60 * day, 3650 * day, 11 * 3650 * day])(
      'a ttl of %d ms is neither cut short nor for ever at once',
      async ttl => {
        await backend.set('k', bytes('1'), { ttl })
        expect(await keptFor('k')).toBeGreaterThan(ttl)
        if (ttl < 900) return
        const left = (await backend.getEntry('k'))?.ttl
        expect(left).toBeGreaterThan(ttl - 900)
        expect(left).toBeLessThanOrEqual(ttl)
      },
    )

    test('an entry of 300 ms is there for 300 ms', async () => {
      const start = Date.now()
      await backend.set('k', bytes('1'), { ttl: 300 })
      while (Date.now() < start + 299) {
        const seen = await backend.has('k')
        if (Date.now() < start + 300) expect(seen).toBe(true)
      }
      await sleep(310)
      expect(await backend.get('k')).toBeUndefined()
      expect(await backend.add('k', bytes('2'))).toBe(true)
      expect(await keptFor('k')).toBe(Number.POSITIVE_INFINITY)
    })
  })

  describe('what goes over the wire', () => {
    const keys = range(100)
    let proxy: FaultProxy
    let distant: MemcachedBackend
    beforeEach(async () => {
      proxy = await proxyTo(server)
      distant = open({ servers: at(proxy) })
      await distant.setMany(keys.map(key => [key, bytes(`value of ${key}`)]))
      await distant.set('n', bytes('1'))
    })

    test.each<[string, number, () => Promise<unknown>]>([
      ['get', 1, () => distant.get('n')],
      ['getEntry', 1, () => distant.getEntry('n')],
      ['has', 1, () => distant.has('n')],
      ['set', 1, () => distant.set('n', bytes('1'), { ttl: 1000 })],
      ['add of a new key', 1, () => distant.add('new', bytes('1'))],
      ['add of one that is there', 1, () => distant.add('n', bytes('1'))],
      ['increment', 2, () => distant.increment('n')],
      ['touch', 2, () => distant.touch('n', { ttl: 1000 })],
      ['compareAndSet', 2, () => distant.compareAndSet('n', bytes('1'), bytes('2'))],
      ['compareAndDelete', 2, () => distant.compareAndDelete('n', bytes('1'))],
      ['delete', 2, () => distant.delete('n')],
      ['getMany of 100 keys', 1, () => distant.getMany(keys)],
      ['setMany of 100 keys', 1, () => distant.setMany(keys.map(key => [key, bytes('new')]))],
      ['deleteMany of 100 keys', 1, () => distant.deleteMany(keys)],
      ['clear', 1, () => distant.clear()],
    ])('%s takes %d', async (_name, roundTrips, call) => {
      const before = proxy.traffic.roundTrips
      await call()
      expect(proxy.traffic.roundTrips - before).toBe(roundTrips)
    })

    test('getMany answers in the order of its keys, with undefined for misses', async () => {
      await distant.delete('key-1')
      const values = await distant.getMany(['key-2', 'key-1', 'key-0', 'key-2'])
      expect(values.map(text)).toEqual(['value of key-2', undefined, 'value of key-0', 'value of key-2'])
    })

    test('a thousand first calls at once share one connection', async () => {
      const { connections } = proxy.traffic
      const busy = open({ servers: at(proxy) })
      await Promise.all(range(1000).map(key => busy.set(key, bytes(key))))
      expect(await Promise.all(range(1000).map(async key => text(await busy.get(key))))).toEqual(range(1000))
      expect(proxy.traffic.connections - connections).toBe(1)
    })
  })

  describe('clear', () => {
    test('costs one write, however many entries there are, and touches those of nobody', async () => {
      const users = backend.namespace('users')
      await backend.setMany(range(5000).map(key => [key, bytes('1')]))
      await users.setMany(range(5000).map(key => [key, bytes('1')]))
      await put(server, 'cachekit:foreign', 'stays')
      const before = await countsOf(server)
      await users.clear()
      const after = await countsOf(server)
      expect((after.cmd_set as number) - (before.cmd_set as number)).toBe(1)
      expect((after.cmd_get as number) - (before.cmd_get as number)).toBe(0)
      expect((await users.getMany(range(5000))).filter(Boolean)).toEqual([])
      expect((await backend.getMany(range(5000))).filter(Boolean).length).toBe(5000)
      expect(await ask(server, 'get cachekit:foreign')).toContain('stays')
    })

    test('of a namespace reaches those made from it, and neither its parent nor its siblings', async () => {
      const users = backend.namespace('users')
      const all = [
        backend,
        users,
        users.namespace('deep'),
        users.namespace('deep').namespace('er'),
        backend.namespace('u'),
      ]
      for (const each of all) await each.set('k', bytes('1'))
      await users.clear()
      expect(await Promise.all(all.map(each => each.has('k')))).toEqual([true, false, false, false, true])
      for (const each of all) await each.set('k', bytes('2'))
      await backend.clear()
      expect(await Promise.all(all.map(each => each.has('k')))).toEqual([false, false, false, false, false])
    })

    describe('by somebody else, of which the backend has not heard', () => {
      let other: MemcachedBackend
      beforeEach(async () => {
        other = open({ servers: at(server) })
        await backend.setMany(range(3).map(key => [key, bytes('old')]))
        await backend.set('n', bytes('7'))
        expect(text(await other.get('key-0'))).toBe('old')
        await other.clear()
      })

      test.each<[string, (b: CacheBackend) => Promise<unknown>, unknown, Record<string, string | undefined>]>([
        ['get', b => b.get('key-0'), undefined, {}],
        ['getMany', async b => (await b.getMany(range(3))).map(text), [undefined, undefined, undefined], {}],
        ['has', b => b.has('key-0'), false, {}],
        ['set', b => b.set('key-0', bytes('new')), undefined, { 'key-0': 'new' }],
        ['setMany', b => b.setMany([['key-0', bytes('new')]]), undefined, { 'key-0': 'new' }],
        ['add', b => b.add('key-0', bytes('new')), true, { 'key-0': 'new' }],
        ['increment', b => b.increment('n'), 1, { n: '1' }],
        ['compareAndSet', b => b.compareAndSet('key-0', bytes('old'), bytes('new')), false, {}],
        ['compareAndDelete', b => b.compareAndDelete('key-0', bytes('old')), false, {}],
        ['touch', b => b.touch('key-0', { ttl: 1000 }), false, {}],
        ['delete', b => b.delete('key-0'), false, {}],
        ['deleteMany', b => b.deleteMany(['key-0']), undefined, {}],
      ])('%s sees nothing old, and loses nothing new', async (_name, call, answer, left) => {
        expect(await call(backend)).toEqual(answer)
        for (const key of ['n', ...range(3)]) expect([key, text(await other.get(key))]).toEqual([key, left[key]])
      })

      test('a write by the other is neither replaced unseen nor deleted in vain', async () => {
        await other.set('key-0', bytes('new'))
        expect(await backend.add('key-0', bytes('late'))).toBe(false)
        expect(await backend.delete('key-0')).toBe(true)
        expect(await other.get('key-0')).toBeUndefined()
        await other.set('key-1', bytes('new'))
        await other.clear()
        await other.set('key-2', bytes('new'))
        await backend.deleteMany(['key-2'])
        expect(await other.get('key-2')).toBeUndefined()
      })
    })

    test('a set that began after a clear had ended is there, whatever else is cleared and set', async () => {
      const other = open({ servers: at(server) })
      for (let round = 0; round < 100; round++) {
        await Promise.all([
          other.clear(),
          backend.set('k', bytes('racing')),
          other.set('k', bytes('racing')),
          backend.add('added', bytes('1')),
          other.clear(),
        ])
        await backend.set('k', bytes(`${round}`))
        expect(text(await other.get('k'))).toBe(`${round}`)
      }
    })
  })

  describe('generations that the server has evicted', () => {
    let crowded: Server
    let one: MemcachedBackend
    let two: MemcachedBackend
    beforeEach(async () => {
      // The one list of items of older servers: newer ones do not evict what was read twice, which would take long here.
      crowded = await ownServer('-m', '4', '-o', 'no_modern')
      one = open({ servers: at(crowded) })
      two = open({ servers: at(crowded) })
    }, 60_000)

    /** Fills the server with items of the size of a generation until that of our namespace is gone. */
    async function evict(): Promise<void> {
      // Looking with `me` does not make an item one of those lately used.
      for (let round = 0; (await ask(crowded, 'me cachekit:#')) !== 'EN\r\n'; round++) {
        if (round === 20) throw new Error('the server evicts nothing')
        const crowd = Array.from(
          { length: 10_000 },
          (_, index) => `set f${round}-${index} 0 0 20 noreply\r\n${'x'.repeat(20)}\r\n`,
        )
        await ask(crowded, `${crowd.join('')}get nothing`)
      }
    }

    test('mean that everything is old, and not that nothing was cleared', async () => {
      await one.set('k', bytes('before clear '.repeat(50)))
      await two.get('k')
      const [, generation = ''] = (await ask(crowded, 'get cachekit:#')).split('\r\n')
      const k = entryKey('cachekit:k', tagOf([generation]))
      await one.clear()
      await one.set('later', bytes('after clear '.repeat(50)))
      await evict()
      // The entry itself was not evicted.
      expect(await ask(crowded, `me ${k}`)).toContain('ME cachekit:k#')
      for (const each of [one, two, open({ servers: at(crowded) })]) {
        expect(await each.get('k')).toBeUndefined()
        expect(await each.get('later')).toBeUndefined()
      }
    }, 30_000)

    test('are not all one: what was stored after one eviction is not there after the next', async () => {
      await one.get('k')
      await evict()
      await one.set('k', bytes('after one eviction '.repeat(30)))
      await two.clear()
      await evict()
      expect(await one.get('k')).toBeUndefined()
      expect(await two.get('k')).toBeUndefined()
    }, 30_000)

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('new'))],
      ['setMany', b => b.setMany([['k', bytes('new')]])],
      ['add', b => b.add('k', bytes('new'))],
    ])(
      '%s writes into a new one that all agree on',
      async (_name, write) => {
        await Promise.all([one.set('k', bytes('old')), two.get('k')])
        await evict()
        await write(one)
        expect(text(await one.get('k'))).toBe('new')
        expect(text(await two.get('k'))).toBe('new')
        await two.clear()
        expect(await one.get('k')).toBeUndefined()
      },
      30_000,
    )
  })

  describe('an item that is not ours under a key of ours', () => {
    let key: string
    beforeEach(async () => {
      await backend.set('k', bytes('1'))
      key = await keyIn(server, 'cachekit:k#')
    })

    describe.each<[string, string, number]>([
      // Other clients mark by flags what a value is: this driver takes 2 for JSON, 4 for bytes, 8 for a number.
      ['no JSON behind the flag for JSON', '{"half', 2],
      ['a number behind the flag for numbers', '12', 8],
      ['a text with the end of a reply in it', 'x\r\nEND\r\nVALUE y', 0],
      ['nothing', '', 0],
      ['a record of a later version', 'ck2 0\nvalue', 0],
      ['half a record', 'ck1 17', 0],
    ])('%s', (_what, value, flags) => {
      beforeEach(() => put(server, key, value, flags))

      test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
        ['get', b => b.get('k')],
        ['getEntry', b => b.getEntry('k')],
        ['increment', b => b.increment('k')],
        ['compareAndSet', b => b.compareAndSet('k', bytes('1'), bytes('2'))],
        ['compareAndDelete', b => b.compareAndDelete('k', bytes('1'))],
      ])('%s rejects with CACHE_CORRUPT_ENTRY and leaves it', async (_name, call) => {
        expect(await errorOf(call(backend))).toMatchObject({ code: 'CACHE_CORRUPT_ENTRY', retryable: false })
        expect(await ask(server, `get ${key}`)).toContain(`\r\n${value}\r\n`)
      })

      test('set replaces it, delete removes it, getMany answers the other keys', async () => {
        await backend.set('other', bytes('1'))
        expect((await backend.getMany(['k', 'other'])).map(text)).toEqual([undefined, '1'])
        expect(await backend.delete('k')).toBe(true)
        expect(await ask(server, `get ${key}`)).toBe('END\r\n')
        await put(server, key, value, flags)
        await backend.set('k', bytes('new'))
        expect(text(await backend.get('k'))).toBe('new')
      })
    })

    test('as a generation is one like any other', async () => {
      await put(server, 'cachekit:#', '{"half', 2)
      expect(await backend.get('k')).toBeUndefined()
      await backend.set('k', bytes('2'))
      expect(text(await open({ servers: at(server) }).get('k'))).toBe('2')
    })
  })

  describe('refusals of the server', () => {
    test('full and without evictions: CACHE_BACKEND_FAILED, not applied, and what is stored is read', async () => {
      const full = await ownServer('-m', '2', '-M')
      const cramped = open({ servers: at(full) })
      const block = bytes('x'.repeat(50_000))
      await cramped.set('k', bytes('1'))
      const keys = range(60)
      const error = await errorOf(cramped.setMany(keys.map(key => [key, block])))
      expect(error).toMatchObject({ code: 'CACHE_BATCH_FAILED', outcome: 'not-applied', retryable: true })
      const missing: string[] = []
      for (const key of keys) if (!(await cramped.has(key))) missing.push(key)
      expect(error.keys).toEqual(missing)
      const refusal = { code: 'CACHE_BACKEND_FAILED', retryable: true, outcome: 'not-applied' }
      expect(await errorOf(cramped.set('new', block))).toMatchObject(refusal)
      expect(await errorOf(cramped.add('new', block))).toMatchObject(refusal)
      expect(await errorOf(cramped.compareAndSet('k', bytes('1'), block))).toMatchObject(refusal)
      expect(text(await cramped.get('k'))).toBe('1')
      expect(inspect(error, { depth: 5 })).not.toContain('xxx')
    }, 30_000)

    test('no connection left: CACHE_UNAVAILABLE, and it works when there is one again', async () => {
      const busy = await ownServer('-c', '40')
      const others: Socket[] = []
      for (let index = 0; index < 45; index++) others.push(connect(busy.port, busy.host).on('error', () => {}))
      await Promise.all(others.map(socket => once(socket, 'connect')))
      const late = open({ servers: at(busy) })
      const error = await errorOf(late.set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', retryable: true, outcome: 'not-applied' })
      expect(inspect(error.cause)).toContain('Too many open connections')
      for (const socket of others) socket.destroy()
      await sleep(300)
      await late.set('k', bytes('1'))
    }, 30_000)

    test('asking for a password: CACHE_BACKEND_FAILED that says so', async () => {
      const file = join(await temporaryFolder(), 'users')
      await writeFile(file, 'me:secret\n')
      // A container would not see the file.
      const locked = await startServer('memcached', { args: ['-Y', file], ways: ['local', 'fetched'] })
      opened.push(locked)
      const error = await errorOf(open({ servers: at(locked) }).set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false, outcome: 'not-applied' })
      expect(error.message).toContain('password')
    }, 30_000)

    test('an item that is too large after all: CACHE_VALUE_TOO_LARGE', async () => {
      const { replyError } = await import('../src/errors.ts')
      const line = await ask(server, `set k 0 0 2000000\r\n${'x'.repeat(2_000_000)}`)
      expect(replyError(line.trim())).toMatchObject({ code: 'CACHE_VALUE_TOO_LARGE', outcome: 'not-applied' })
      expect(replyError((await ask(server, 'nonsense')).trim())).toMatchObject({ code: 'CACHE_BACKEND_FAILED' })
    })

    test('no Memcached at all: CACHE_UNAVAILABLE that says so', async () => {
      const web = createServer((_, response) => response.end('<p>hello</p>')).listen(0, '127.0.0.1')
      await once(web, 'listening')
      opened.push({ close: async () => web.close() })
      const error = await errorOf(open({ servers: `127.0.0.1:${(web.address() as AddressInfo).port}` }).get('k'))
      expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE' })
      expect(error.message).toContain('does not speak the text protocol')
    })
  })

  describe('several servers', () => {
    let second: Server
    beforeEach(async () => {
      second = await ownServer()
    }, 60_000)

    test('share the keys as the driver shares them, and clear() reaches all', async () => {
      const servers = [at(server), at(second)]
      const spread = open({ servers })
      await spread.setMany(range(200).map(key => [key, bytes(key)]))
      expect((await spread.getMany(range(200))).map(text)).toEqual(range(200))
      const ring = new Memcached(servers) as unknown as { HashRing: { get(key: string): string } }
      for (const each of [server, second]) {
        const keys = (await keysIn(each)).map(key => key.replace(/#.*/, '')).filter(key => key !== 'cachekit:')
        expect(keys.length).toBeGreaterThan(20)
        for (const key of keys) expect([key, ring.HashRing.get(key)]).toEqual([key, at(each)])
      }
      await spread.clear()
      expect((await spread.getMany(range(200))).filter(Boolean)).toEqual([])
    })

    test('a client that is passed in says which, with its weights, and is left as it was', async () => {
      const client = new Memcached({ [at(server)]: 9, [at(second)]: 1 })
      opened.push({ close: async () => client.end() })
      const before = client.eventNames()
      const guest = new MemcachedBackend({ client })
      await guest.setMany(range(200).map(key => [key, bytes(key)]))
      expect((await guest.getMany(range(200))).map(text)).toEqual(range(200))
      const [heavy, light] = [await keysIn(server), await keysIn(second)]
      expect(heavy.length).toBeGreaterThan(3 * light.length)
      expect(light.length).toBeGreaterThan(2)
      await guest.close()
      expect(client.eventNames()).toEqual(before)
      await new Promise<void>((resolve, reject) => {
        client.set('own', 'of the client', 60, error => (error ? reject(error) : resolve()))
      })
      expect([...(await keysIn(server)), ...(await keysIn(second))]).toContain('own')
    })
  })

  test('options that do not fit are refused, and no password is printed', () => {
    const client = new Memcached('127.0.0.1:1')
    for (const options of [
      { servers: '' },
      { servers: [] },
      { servers: [7] as never },
      { servers: 'host:port' },
      { servers: 'host:99999999' },
      { servers: 'memcached://me:correct-horse@host:11211' },
      { servers: 'me:correct-horse@host' },
      { servers: 'two words' },
      { servers: 'host', client },
      { client, clientOptions: {} },
      { client: {} as never },
      { client: new Memcached('host', { namespace: 'p:' }) },
      { client: new Memcached(['a', 'b'], { remove: true }) },
      { servers: 'host', clientOptions: { namespace: 'p:' } },
      { servers: 'host', clientOptions: { failOverServers: ['c'] } },
      { servers: ['a', 'b'], clientOptions: { algorithm: 'no such' } },
      { clientOptions: 7 as never },
      { maxItemSize: 100 },
      { maxItemSize: 2 ** 31 },
      { timeout: -1 },
    ] satisfies MemcachedBackendOptions[]) {
      let error: unknown
      try {
        new MemcachedBackend(options)
      } catch (thrown) {
        error = thrown
      }
      expect([options, error]).toEqual([options, expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' })])
      expect(inspect(error)).not.toContain('correct-horse')
    }
    for (const servers of ['host', 'host:1', '10.0.0.1:11211', '[::1]:11211', '[::1]', '/run/memcached.sock']) {
      expect(() => new MemcachedBackend({ servers })).not.toThrow()
    }
  })

  test('a Unix socket is an address', async () => {
    const path = join(await temporaryFolder(), 'memcached.sock')
    const { createServer: listen } = await import('node:net')
    const bridge = listen(socket => socket.pipe(connect(server.port, server.host)).pipe(socket)).listen(path)
    await once(bridge, 'listening')
    opened.push({ close: async () => bridge.close() })
    const local = open({ servers: path })
    await local.set('k', bytes('1'))
    expect(text(await backend.get('k'))).toBe('1')
  })

  test('a process that has closed its backend ends at once', async () => {
    const { stdout } = await runScript(join(__dirname, 'fixtures/use-and-close.ts'), at(server))
    expect(Number(stdout)).toBeLessThan(500)
    expect(text(await open({ servers: at(server), namespace: 'use-and-close' }).get('runs'))).toBe('1')
  }, 20_000)

  test('closing leaves no connection behind', async () => {
    const lonely = await ownServer()
    const connections = async (): Promise<number> => (await countsOf(lonely)).curr_connections as number
    const many = Array.from({ length: 5 }, () => new MemcachedBackend({ servers: at(lonely) }))
    await Promise.all(many.map(each => each.get('k')))
    expect(await connections()).toBeGreaterThan(5)
    await Promise.all(many.map(each => each.close()))
    // The server hears of it a moment later. It listens on a connection or two of its own.
    for (let round = 0; round < 50 && (await connections()) > 3; round++) await sleep(20)
    expect(await connections()).toBeLessThanOrEqual(3)
  })
})
