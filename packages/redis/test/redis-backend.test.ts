import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type CacheBackend, CacheError } from '@cachekit/core'
import { describeService, FaultProxy, runScript, type Server, startServer } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { RedisBackend, type RedisBackendOptions } from '../src/index.ts'

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
})

function open(options: RedisBackendOptions): RedisBackend {
  const backend = new RedisBackend(options)
  opened.push(backend)
  return backend
}

/** A client that looks into the server beside the backend. */
function bare(url: string, options: object = {}): Redis {
  const client = new Redis(url, { autoResendUnfulfilledCommands: false, disconnectTimeout: 0, ...options })
  opened.push({ close: async () => client.disconnect() })
  return client
}

describeService('redis', () => {
  let server: Server
  let redis: Redis
  let backend: RedisBackend

  // One of its own: these cases flush its scripts and read its statistics.
  beforeAll(async () => {
    server = await startServer('redis')
  }, 60_000)
  afterAll(() => server.close())
  beforeEach(async () => {
    redis = bare(server.url)
    await redis.flushall()
    backend = open({ url: server.url })
  })

  /** Which commands the server ran during `work`, and how often, those of clients that connect aside. */
  async function commandsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
    await redis.config('RESETSTAT')
    await work()
    const stats = (await redis.info('commandstats')).matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)
    const aside = ['config|resetstat', 'info', 'hello', 'select', 'client|setinfo']
    return Object.fromEntries(
      [...stats].filter(([, name = '']) => !aside.includes(name)).map(([, name, calls]) => [name, Number(calls)]),
    )
  }

  describe('the storage layout', () => {
    test('an entry is a plain string under namespace:key', async () => {
      await backend.set('a b', bytes('välue'))
      await backend.namespace('users').set('42', bytes('Ada'))
      expect((await redis.keys('*')).sort()).toEqual(['cachekit:@users:42', 'cachekit:a b'])
      expect(await redis.get('cachekit:a b')).toBe('välue')
      expect(await redis.get('cachekit:@users:42')).toBe('Ada')
    })

    test('what redis-cli writes there is an entry', async () => {
      await redis.set('cachekit:greeting', 'hello', 'PX', 60_000)
      expect(text(await backend.get('greeting'))).toBe('hello')
      expect((await backend.getEntry('greeting'))?.ttl).toBeGreaterThan(59_000)
    })

    test('a counter is a plain number', async () => {
      await backend.increment('visits', 41)
      await redis.incr('cachekit:visits')
      expect(await backend.increment('visits')).toBe(43)
      expect(await redis.get('cachekit:visits')).toBe('43')
    })
  })

  describe('expiry is that of Redis', () => {
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
    ])('%s sets it to the millisecond', async (_name, write) => {
      await write(backend)
      const left = await redis.pttl('cachekit:k')
      expect(left).toBeLessThanOrEqual(12_345)
      expect(left).toBeGreaterThan(12_345 - 1000)
      expect(await redis.get('cachekit:k')).toBe('1')
    })

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'))],
      ['setMany', b => b.setMany([['k', bytes('1')]])],
      ['compareAndSet', b => b.compareAndSet('k', bytes('1'), bytes('2'))],
      ['touch', b => b.touch('k', { ttl: undefined })],
    ])('%s without a ttl takes it away', async (_name, write) => {
      await redis.set('cachekit:k', '1', 'PX', 60_000)
      await write(backend)
      expect(await redis.pttl('cachekit:k')).toBe(-1)
    })

    test('increment of a counter that is there keeps it', async () => {
      await redis.set('cachekit:k', '1', 'PX', 60_000)
      await backend.increment('k', 1, { ttl: 1000 })
      expect(await redis.pttl('cachekit:k')).toBeGreaterThan(50_000)
    })
  })

  describe('a batch of 100 keys is one round trip', () => {
    const keys = range(100)
    let proxy: FaultProxy
    let distant: RedisBackend
    beforeEach(async () => {
      proxy = await FaultProxy.start(server)
      opened.push(proxy)
      distant = open({ url: `redis://${proxy.host}:${proxy.port}` })
      await distant.setMany(keys.map(key => [key, bytes(`value of ${key}`)]))
    })

    test.each<[string, () => Promise<unknown>, Record<string, number>]>([
      ['getMany', () => distant.getMany(keys), { mget: 1 }],
      ['setMany', () => distant.setMany(keys.map(key => [key, bytes('new')])), { set: 100 }],
      ['deleteMany', () => distant.deleteMany(keys), { unlink: 1 }],
    ])('%s', async (_name, batch, commands) => {
      const before = proxy.traffic.roundTrips
      expect(await commandsOf(batch)).toEqual(commands)
      expect(proxy.traffic.roundTrips - before).toBe(1)
    })

    test('getMany answers in the order of its keys, with undefined for misses', async () => {
      await redis.del('cachekit:key-1')
      const values = await distant.getMany(['key-2', 'key-1', 'key-0', 'key-2'])
      expect(values.map(text)).toEqual(['value of key-2', undefined, 'value of key-0', 'value of key-2'])
    })
  })

  describe('clear', () => {
    test('leaves 20,000 keys of others, and finds its own among them by SCAN and UNLINK alone', async () => {
      const foreign = Array.from({ length: 20_000 }, (_, index) => `cachekitX:${index}`)
      await redis.mset(foreign.flatMap(key => [key, '1']))
      await backend.setMany(range(2500).map(key => [key, bytes('1')]))
      const commands = await commandsOf(() => backend.clear())
      expect(await redis.dbsize()).toBe(20_000)
      expect(await redis.exists(foreign)).toBe(20_000)
      expect(Object.keys(commands).sort()).toEqual(['scan', 'unlink'])
      // In pages, so that no one of them holds up the server.
      expect(commands.scan).toBeGreaterThan(20)
    })

    test.each(['a*', 'a?', '[ab]', 'a\\'])('takes the namespace %s by the letter', async namespace => {
      const mine = open({ url: server.url, namespace })
      await mine.set('k', bytes('1'))
      const [own] = await redis.keys('*')
      const foreign = ['a:k', 'ab:k', 'b:k', 'a*:k', 'a?:k', '[ab]:k', 'a\\:k', 'abc:k'].filter(key => key !== own)
      await redis.mset(foreign.flatMap(key => [key, '1']))
      await mine.clear()
      expect((await redis.keys('*')).sort()).toEqual(foreign.sort())
    })

    test('of a namespace leaves its parent and its siblings', async () => {
      await backend.set('@users', bytes('1'))
      await backend.set('k', bytes('1'))
      await backend.namespace('users2').set('k', bytes('1'))
      await backend.namespace('users').set('k', bytes('1'))
      await backend.namespace('users').namespace('deep').set('k', bytes('1'))
      const before = await redis.keys('*')
      await backend.namespace('users').clear()
      const left = await redis.keys('*')
      expect(left.sort()).toEqual(before.filter(key => !key.startsWith('cachekit:@users:')).sort())
      expect(before.length - left.length).toBe(2)
    })
  })

  describe('a list under a key of ours', () => {
    beforeEach(() => redis.rpush('cachekit:k', 'foreign'))

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['get', b => b.get('k')],
      ['getEntry', b => b.getEntry('k')],
      ['increment', b => b.increment('k')],
      ['compareAndSet', b => b.compareAndSet('k', bytes('1'), bytes('2'))],
      ['compareAndDelete', b => b.compareAndDelete('k', bytes('1'))],
    ])('%s rejects with CACHE_CORRUPT_ENTRY and leaves it', async (_name, call) => {
      expect(await errorOf(call(backend))).toMatchObject({ code: 'CACHE_CORRUPT_ENTRY', retryable: false })
      expect(await redis.lrange('cachekit:k', 0, -1)).toEqual(['foreign'])
    })

    test('set replaces it', async () => {
      await backend.set('k', bytes('new'))
      expect(await redis.get('cachekit:k')).toBe('new')
    })

    test('setMany replaces it', async () => {
      await backend.setMany([['k', bytes('new')]])
      expect(await redis.get('cachekit:k')).toBe('new')
    })

    test('delete removes it', async () => {
      expect(await backend.delete('k')).toBe(true)
      expect(await redis.exists('cachekit:k')).toBe(0)
    })

    test('getMany answers the other keys', async () => {
      await backend.set('other', bytes('1'))
      expect((await backend.getMany(['k', 'other'])).map(text)).toEqual([undefined, '1'])
    })
  })

  test('scripts that the server has forgotten are sent again', async () => {
    const scripted = async (): Promise<unknown[]> => {
      await backend.set('k', bytes('1'), { ttl: 60_000 })
      return [
        await backend.increment('k'),
        await backend.compareAndSet('k', bytes('2'), bytes('3')),
        text((await backend.getEntry('k'))?.value),
        await backend.touch('k', { ttl: undefined }),
        await backend.compareAndDelete('k', bytes('3')),
      ]
    }
    for (let round = 0; round < 2; round++) {
      await redis.script('FLUSH')
      const commands = await commandsOf(async () => {
        expect(await scripted()).toEqual([2, true, '3', true, true])
      })
      expect(commands).toMatchObject({ eval: 5, evalsha: 5 })
    }
    expect(await commandsOf(scripted)).not.toHaveProperty('eval')
  })

  describe('refusals of the server', () => {
    test('a wrong password fails within the timeout, and nothing secret is printed', async () => {
      const secured = await startServer('redis')
      opened.push(secured)
      await bare(secured.url).config('SET', 'requirepass', 'the-right-one')
      const url = `redis://:the-wrong-one@${secured.host}:${secured.port}`
      const intruder = open({ url, timeout: 1000 })
      const start = performance.now()
      const error = await errorOf(intruder.set('k', bytes('the-secret-value')))
      expect(performance.now() - start).toBeLessThan(1200)
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false, outcome: 'not-applied' })
      expect(error.message).toContain('password')
      expect(printed(error)).toContain('WRONGPASS')
      expect(printed(error)).not.toMatch(/the-wrong-one|the-secret-value/)
      expect(printed(await errorOf(intruder.get('k')))).not.toContain('the-wrong-one')
    })

    test('a replica refuses writes: CACHE_UNAVAILABLE, not applied', async () => {
      const replica = await startServer('redis')
      opened.push(replica)
      await bare(replica.url).replicaof(server.host, server.port)
      const misled = open({ url: replica.url })
      for (const write of [
        () => misled.set('k', bytes('1')),
        () => misled.increment('k'),
        () => misled.delete('k'),
        () => misled.setMany([['k', bytes('1')]]),
      ]) {
        expect(await errorOf(write())).toMatchObject({
          code: 'CACHE_UNAVAILABLE',
          retryable: true,
          outcome: 'not-applied',
        })
      }
      expect(await redis.dbsize()).toBe(0)
      await bare(replica.url).replicaof('NO', 'ONE')
      await misled.set('k', bytes('1'))
      expect(text(await misled.get('k'))).toBe('1')
    })

    describe('a server of its own', () => {
      let own: Server
      let inside: Redis
      beforeEach(async () => {
        own = await startServer('redis', { args: ['--save', '', '--dir', '/proc'] })
        opened.push(own)
        inside = bare(own.url)
        await inside.set('cachekit:k', '1')
      }, 60_000)

      const failed = { code: 'CACHE_BACKEND_FAILED', retryable: false, outcome: 'not-applied' }
      const failedForNow = { ...failed, retryable: true }
      const unavailable = { code: 'CACHE_UNAVAILABLE', retryable: true, outcome: 'not-applied' }

      test.each<[word: string, expected: object, bring: () => Promise<unknown>]>([
        [
          'MISCONF',
          failedForNow,
          async () => {
            await inside.config('SET', 'save', '3600 1')
            await inside.bgsave() // to a folder that takes no files
            while (!(await inside.info('persistence')).includes('rdb_last_bgsave_status:err')) await sleep(10)
          },
        ],
        ['NOREPLICAS', failedForNow, () => inside.config('SET', 'min-replicas-to-write', '1')],
        [
          'BUSY',
          unavailable,
          async () => {
            await inside.config('SET', 'busy-reply-threshold', '1')
            bare(own.url)
              .eval('while true do end', 0)
              .catch(() => {})
            await sleep(200)
          },
        ],
        ['NOAUTH', failed, () => inside.config('SET', 'requirepass', 'the-right-one')],
        ['NOPERM', failed, () => inside.acl('SETUSER', 'default', 'resetkeys', '~other')],
        ['max number of clients', unavailable, () => inside.config('SET', 'maxclients', '1')],
      ])('%s', async (word, expected, bring) => {
        await bring()
        const refused = open({ url: own.url, timeout: 1000 })
        const secret = bytes('the-secret-value')
        for (const write of [() => refused.set('k', secret), () => refused.increment('k'), () => refused.delete('k')]) {
          const error = await errorOf(write())
          expect(error).toMatchObject(expected)
          expect(error.message).not.toContain('Redis refused: ')
          expect(printed(error)).toContain(word)
          expect(printed(error)).not.toContain('the-secret-value')
        }
      })

      test('a replica that has lost its master, and gives no old data', async () => {
        await inside.config('SET', 'replica-serve-stale-data', 'no')
        await inside.replicaof('127.0.0.1', '1')
        const error = await errorOf(open({ url: own.url }).get('k'))
        expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', retryable: true })
        expect(error.message).toContain('lost its master')
      })

      test('a database that is not there', async () => {
        const error = await errorOf(open({ url: `${own.url}/99` }).set('k', bytes('1')))
        expect(error).toMatchObject(failed)
        expect(error.message).toContain('database of that number')
      })
    })

    describe('a server that is full and may not evict', () => {
      let full: Server
      let inside: Redis
      let cramped: RedisBackend
      const block = 'x'.repeat(64 * 1024)
      beforeEach(async () => {
        full = await startServer('redis', { args: ['--maxmemory', '4mb', '--maxmemory-policy', 'noeviction'] })
        opened.push(full)
        inside = bare(full.url)
        cramped = open({ url: full.url })
        await cramped.set('k', bytes('1'))
      }, 60_000)

      test('refuses writes with CACHE_BACKEND_FAILED, not applied, and still answers reads', async () => {
        await inside.config('SET', 'maxmemory', '1')
        const refusal = { code: 'CACHE_BACKEND_FAILED', retryable: true, outcome: 'not-applied' }
        for (const write of [
          () => cramped.set('k', bytes('the-secret-value')),
          () => cramped.add('new', bytes('the-secret-value')),
          () => cramped.increment('k'),
          () => cramped.increment('new'),
          () => cramped.compareAndSet('k', bytes('1'), bytes('the-secret-value')),
          () => cramped.setMany([['k', bytes('the-secret-value')]]),
        ]) {
          const error = await errorOf(write())
          expect(error).toMatchObject(refusal)
          expect(printed(error)).not.toContain('the-secret-value')
        }
        expect(text(await cramped.get('k'))).toBe('1')
        expect((await cramped.getMany(['k', 'new'])).map(text)).toEqual(['1', undefined])
        expect(await cramped.has('new')).toBe(false)
        expect(await cramped.delete('k')).toBe(true)
      })

      test('a batch that fits in part names the keys that are missing', async () => {
        const keys = range(60)
        const error = await errorOf(cramped.setMany(keys.map(key => [key, bytes(`the-secret-value ${block}`)])))
        expect(error).toMatchObject({ code: 'CACHE_BATCH_FAILED', outcome: 'not-applied' })
        const missing: string[] = []
        for (const key of keys) if ((await inside.exists(`cachekit:${key}`)) === 0) missing.push(key)
        expect(missing.length).toBeGreaterThan(0)
        expect(missing.length).toBeLessThan(60)
        expect(error.keys).toEqual(missing)
        expect(printed(error)).not.toContain('the-secret-value')
      })
    })
  })

  describe('a client that is passed in', () => {
    test('is used, and neither closed nor changed', async () => {
      const client = bare(server.url)
      const before = client.listenerCount('error')
      const guest = new RedisBackend({ client })
      await guest.set('k', bytes('1'))
      expect(client.listenerCount('error')).toBe(before + 1)
      await guest.close()
      expect(client.listenerCount('error')).toBe(before)
      expect(client.status).toBe('ready')
      expect(await client.get('cachekit:k')).toBe('1')
    })

    test('keeps the listeners of others when two backends share it', async () => {
      const client = bare(server.url)
      const listener = jest.fn()
      client.on('error', listener)
      const [one, two] = [new RedisBackend({ client }), open({ client, namespace: 'two' })]
      await Promise.all([one.get('k'), two.get('k')])
      await one.close()
      expect(client.listeners('error')).toContain(listener)
      expect(client.listenerCount('error')).toBe(2)
      expect(await two.get('k')).toBeUndefined()
    })

    test.each<[string, object]>([
      ['has a keyPrefix', { keyPrefix: 'p:' }],
      ['sends commands again, as ioredis does by default,', { autoResendUnfulfilledCommands: true }],
      [
        'reads from replicas',
        { sentinels: [{ host: '127.0.0.1', port: 1 }], name: 'm', role: 'slave', lazyConnect: true },
      ],
    ])('is refused when it %s', (_what, options) => {
      const client = bare(server.url, { lazyConnect: true, ...options })
      expect(() => new RedisBackend({ client })).toThrow(expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }))
    })

    test('is refused together with url, cluster or clientOptions', () => {
      const client = bare(server.url)
      for (const options of [{ url: server.url }, { cluster: [server.url] }, { clientOptions: {} }]) {
        expect(() => new RedisBackend({ client, ...options })).toThrow('Pass client alone')
      }
      expect(() => new RedisBackend({ client })).not.toThrow()
    })

    test('is refused when it is no client', () => {
      for (const client of [null, 'redis', {}, new Map()]) {
        expect(() => new RedisBackend({ client: client as never })).toThrow('client must be')
      }
    })
  })

  test('options that do not fit are refused, and no password is printed', () => {
    const password = 'correct-horse'
    for (const options of [
      { url: `http://user:${password}@localhost` },
      { url: `redis://user:${password}@local host:6379` },
      { url: `redis://user:${password}@localhost:99999` },
      { url: `redis://user:${password}@localhost/users` },
      { url: `user:${password}@localhost:6379` },
      { url: `redis:user:${password}@localhost:6379` },
      { url: `redis://user:${password}` },
      { cluster: [`http://user:${password}@localhost`] },
      { cluster: `redis://user:${password}@localhost` as never },
      { cluster: [] },
      { url: `redis://user:${password}@localhost`, cluster: [`redis://user:${password}@localhost`] },
      { url: `redis://user:${password}@localhost`, clientOptions: { keyPrefix: 'p:' } },
      { url: `redis://user:${password}@localhost`, clientOptions: { autoResendUnfulfilledCommands: true } },
      { url: `redis://user:${password}@localhost`, timeout: -1 },
    ] satisfies RedisBackendOptions[]) {
      let error: unknown
      try {
        new RedisBackend(options)
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
    expect(await redis.get('use-and-close:runs')).toBe('1')
  }, 20_000)

  test('closing leaves no connection behind', async () => {
    const connections = async (): Promise<number> =>
      String(await redis.client('LIST'))
        .trim()
        .split('\n').length
    const before = await connections()
    const many = Array.from({ length: 5 }, () => new RedisBackend({ url: server.url }))
    await Promise.all(many.map(each => each.get('k')))
    expect(await connections()).toBe(before + 5)
    await Promise.all(many.map(each => each.close()))
    expect(await connections()).toBe(before)
  })
})
