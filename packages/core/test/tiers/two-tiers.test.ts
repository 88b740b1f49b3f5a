import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { InMemoryBackend } from '../../../memory/src/index.ts'
import { encrypted } from '../../src/codecs/index.ts'
import { Random } from '../../src/conformance/random.ts'
import { type Cache, type CacheOptions, createCache, defaultCodec, isCacheError } from '../../src/index.ts'
import { SqliteStore, StoreDown } from '../sqlite-store.ts'
import { Hub, type LocalBus } from './local-bus.ts'

let store: SqliteStore
let hub: Hub
const caches: Cache[] = []

interface Process {
  readonly cache: Cache
  readonly bus: LocalBus
  readonly local: InMemoryBackend
}

/** A cache with two tiers, as another process would have. */
function create(options: Partial<CacheOptions<unknown>> = {}): Process {
  const bus = hub.bus()
  const local = new InMemoryBackend()
  const cache = createCache({ backend: store.backend(), local, bus, localTtl: '1h', ...options })
  caches.push(cache)
  return { cache, bus, local }
}

/** The same, connected: whatever was kept before is dropped at that moment. */
async function open(options?: Partial<CacheOptions<unknown>>): Promise<Process> {
  const created = create(options)
  await created.cache.open()
  return created
}

/** How many calls of the store it takes. */
async function calls(run: () => Promise<unknown>): Promise<number> {
  const before = store.calls.length
  await run()
  return store.calls.length - before
}

/** Reads the key until it lies in the local tier. */
async function warm(cache: Cache, key = 'key'): Promise<void> {
  await cache.get(key)
  expect(await calls(() => cache.get(key))).toBe(0)
}

beforeEach(() => {
  store = new SqliteStore()
  hub = new Hub()
})

afterEach(async () => {
  jest.useRealTimers()
  await Promise.all(caches.splice(0).map(cache => cache.close()))
})

describe('what was read from the store', () => {
  test('is read from this process from then on', async () => {
    const { cache } = await open()
    const loader = jest.fn(() => ({ id: 1 }))
    const asked = await calls(async () => {
      for (let call = 0; call < 100; call++) {
        expect(await cache.getOrSet('key', loader, { tags: ['tag'], ttl: '1m' })).toEqual({ id: 1 })
      }
    })
    expect(loader).toHaveBeenCalledTimes(1)
    // One load, and one read to keep what it stored; this store takes a call for each key of a batch.
    expect(asked).toBeLessThan(15)
    expect(await calls(() => cache.getMany(['key', 'key']))).toBe(0)
    expect(await calls(() => cache.has('key'))).toBe(0)
    expect(await calls(() => cache.getOrSetMany(['key'], () => new Map()))).toBe(0)
    expect(cache.stats().hits).toBeGreaterThan(100)
  })

  test('stays no longer than localTtl', async () => {
    const { cache } = await open({ localTtl: 50, bus: undefined })
    await cache.set('key', 'old')
    await warm(cache)
    await create({ local: undefined, bus: undefined }).cache.set('key', 'new')
    expect(await cache.get('key')).toBe('old')
    await sleep(60)
    expect(await cache.get('key')).toBe('new')
  })

  test('stays no longer than localTtl, also where the clock is set back by five minutes', async () => {
    const { cache } = await open({ localTtl: 50, bus: undefined })
    await cache.set('key', 'old')
    await warm(cache)
    await create({ local: undefined, bus: undefined }).cache.set('key', 'new')
    const now = Date.now
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() - 300_000)
    await sleep(60)
    expect(await cache.get('key')).toBe('new')
    clock.mockRestore()
  })

  test('stays no longer than its ttl', async () => {
    const { cache } = await open()
    await cache.set('key', 'value', { ttl: 50 })
    await warm(cache)
    await sleep(60)
    expect(await cache.get('key')).toBe(undefined)
  })

  test('is served while it is fresh only, however long the store keeps it', async () => {
    const { cache } = await open()
    const options = { ttl: 50, staleWhileRevalidate: '1h' } as const
    await cache.getOrSet('key', () => 'old', options)
    await warm(cache)
    await sleep(60)
    expect(await cache.get('key')).toBe(undefined)
    expect(await cache.getOrSet('key', () => 'new', options)).toBe('old')
    await sleep(20)
    expect(await cache.getOrSet('key', () => 'newer', options)).toBe('new')
  })

  test('is served while the store is down', async () => {
    const { cache } = await open()
    await cache.set('key', 'value')
    await warm(cache)
    store.before = async () => {
      throw new StoreDown()
    }
    expect(await cache.get('key')).toBe('value')
    await expect(cache.get('other')).rejects.toMatchObject({ code: 'CACHE_UNAVAILABLE' })
  })

  test.each(['clone', 'share'] as const)("is handed out as the local backend isolates: '%s'", async isolation => {
    const { cache } = await open({ local: new InMemoryBackend({ isolation }) })
    await cache.set('key', { list: [1] })
    await warm(cache)
    const [first, second] = [await cache.get<{ list: number[] }>('key'), await cache.get('key')]
    expect(first === second).toBe(isolation === 'share')
    first?.list.push(2)
    expect(await cache.get('key')).toEqual({ list: isolation === 'share' ? [1, 2] : [1] })
  })

  test('lies there as the codec left it, where the cache has one of its own', async () => {
    const codec = encrypted(defaultCodec, [{ id: 'a', secret: randomBytes(32) }])
    const { cache, local } = await open({ codec })
    await cache.set('key', 'plain text')
    await warm(cache)
    expect(Buffer.from((await local.get('key')) as Uint8Array).includes('plain text')).toBe(false)
    expect(await cache.get('key')).toBe('plain text')
  })

  test('is not kept where it is a counter', async () => {
    const [one, other] = [await open(), await open()]
    await one.cache.increment('key')
    expect(await one.cache.get('key')).toBe(1)
    await other.cache.increment('key')
    expect(await one.cache.get('key')).toBe(2)
  })

  test('is not kept where nothing tells how long it lives', async () => {
    const { cache } = await open()
    await cache.set('key', 5, { ttl: 50 })
    expect(await cache.get('key')).toBe(5)
    await sleep(60)
    expect(await cache.get('key')).toBe(undefined)
  })

  test('is checked against the schema of each call, and the store asked where it does not fit', async () => {
    const { cache } = await open()
    const schema = (type: string) => ({
      '~standard': {
        validate: (value: unknown) =>
          typeof value === type ? { value } : { issues: [{ message: `Not a ${type}.` }] as const },
      },
    })
    await cache.set('key', 'text')
    await warm(cache)
    expect(await cache.getOrSet('key', () => 5, { schema: schema('number') as never })).toBe(5)
    expect(await create().cache.get('key')).toBe(5)
    expect(await cache.get('key')).toBe(5)
  })
})

describe('an invalidation', () => {
  const invalidations: Record<string, (cache: Cache) => Promise<unknown>> = {
    delete: cache => cache.delete('key'),
    deleteMany: cache => cache.deleteMany(['other', 'key']),
    deleteByTag: cache => cache.deleteByTag('other', 'tag'),
    clear: cache => cache.clear(),
    set: cache => cache.set('key', 'new'),
    setMany: cache => cache.setMany([['key', 'new']]),
    'a refresh': cache => cache.getOrSet('key', () => 'new', { refresh: true }),
    'touch to a shorter life': async cache => {
      await cache.touch('key', { ttl: 1 })
      await sleep(5)
    },
  }

  test.each(Object.keys(invalidations))('%s is seen at once, here and by another process', async name => {
    const [one, other] = [await open(), await open()]
    await one.cache.set('key', 'old', { tags: ['tag'] })
    for (const { cache } of [one, other]) await warm(cache)
    await invalidations[name]?.(one.cache)
    const expected = /set|refresh/.test(name) ? 'new' : undefined
    expect(await one.cache.get('key')).toBe(expected)
    expect(await other.cache.get('key')).toBe(expected)
  })

  test('of a namespace concerns it and those made from it, and no other', async () => {
    const { cache } = await open()
    const { cache: other } = await open()
    const names = [[], ['a'], ['a', 'b'], ['ab']]
    const views = (of: Cache) => names.map(path => path.reduce((view, name) => view.namespace(name), of))
    for (const view of views(cache)) await view.set('key', 'value')
    for (const view of views(other)) await warm(view)
    await cache.namespace('a').clear()
    const asked: number[] = []
    for (const view of views(other)) asked.push(await calls(() => view.get('key')))
    expect(asked.map(count => count > 0)).toEqual([false, true, true, false])
    expect(await Promise.all(views(other).map(view => view.get('key')))).toEqual([
      'value',
      undefined,
      undefined,
      'value',
    ])
  })

  test('of one key or tag leaves the others where they are', async () => {
    const [one, other] = [await open(), await open()]
    await one.cache.set('key', 'value', { tags: ['tag'] })
    await one.cache.set('tag', 'value')
    await warm(other.cache)
    await warm(other.cache, 'tag')
    await one.cache.deleteByTag('tag')
    expect(await calls(() => other.cache.get('tag'))).toBe(0)
    expect(await other.cache.get('key')).toBe(undefined)
  })

  test('that comes while the store is read keeps what was read out of the local tier', async () => {
    const backend = store.backend()
    const answered = Promise.withResolvers<void>()
    let read = false
    backend.get = async key => {
      const value = await Object.getPrototypeOf(backend).get.call(backend, key)
      read = true
      await answered.promise
      return value
    }
    const [one, other] = [await open(), await open({ backend })]
    await one.cache.set('key', 'old')
    const reading = other.cache.get('key')
    while (!read) await sleep(1)
    await one.cache.set('key', 'new')
    answered.resolve()
    // It began before the new value was there, so it may answer the old one; nobody after it may.
    expect(await reading).toBe('old')
    expect(await other.cache.get('key')).toBe('new')
    await warm(other.cache)
  })

  test('that the store may have taken is told, too', async () => {
    const [one, other] = [await open(), await open()]
    await one.cache.set('key', 'old')
    await warm(other.cache)
    store.before = async hook => {
      if (hook !== 'get') throw new StoreDown()
    }
    await expect(one.cache.delete('key')).rejects.toMatchObject({ code: 'CACHE_UNAVAILABLE' })
    expect(await calls(() => other.cache.get('key'))).toBeGreaterThan(0)
  })

  test('says nothing of keys, tags and values on the bus', async () => {
    const { cache } = await open()
    await cache.set('secret-key', 'secret-value', { tags: ['secret-tag'] })
    await cache.deleteByTag('secret-tag')
    await cache.namespace('secret-namespace').clear()
    expect(hub.messages.length).toBeGreaterThanOrEqual(3)
    expect(hub.messages.map(String).join()).not.toContain('secret')
  })
})

describe('a bus', () => {
  const dropped = async (run: (one: Process, other: Process) => unknown): Promise<boolean> => {
    const [one, other] = [await open(), await open()]
    await one.cache.set('key', 'value')
    await warm(other.cache)
    await run(one, other)
    return (await calls(() => other.cache.get('key'))) > 0
  }

  test('whose messages all come drops nothing else', async () => {
    expect(await dropped(one => one.cache.delete('another'))).toBe(false)
  })

  test('that lost a message drops everything with the next', async () => {
    expect(
      await dropped(async one => {
        hub.delivers = () => false
        await one.cache.delete('another')
        hub.delivers = () => true
        await one.cache.delete('yet another')
      }),
    ).toBe(true)
  })

  test('that says it may have lost some drops everything', async () => {
    expect(await dropped((_, other) => other.bus.onGap())).toBe(true)
  })

  test.each([
    ['no JSON', '?'],
    ['of a later version', '{"cachekit":2}'],
    ['half of it', '{"cachekit":1,"from":"x","count":1}'],
  ])('whose message is %s drops everything, and nothing throws', async (_, message) => {
    expect(await dropped((one, other) => other.bus.onMessage(Buffer.from(message)) ?? one)).toBe(true)
  })

  test('whose own heartbeat does not come back drops everything, each second', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'performance'] })
    expect(
      await dropped(async () => {
        await jest.advanceTimersByTimeAsync(2100)
        await Promise.all(caches.map(cache => cache.get('key')))
      }),
    ).toBe(false)
    expect(
      await dropped(async () => {
        hub.delivers = () => false
        await jest.advanceTimersByTimeAsync(2100)
      }),
    ).toBe(true)
  })

  test('that fails is told of, and the store goes on', async () => {
    const { cache, bus } = await open()
    const failures = jest.fn()
    cache.on('failure', failures)
    bus.fails = new Error('the bus is down')
    await cache.set('key', 'value')
    await sleep(1)
    expect(failures).toHaveBeenCalledWith({ error: bus.fails, namespace: '' })
    expect(await cache.get('key')).toBe('value')
  })

  test('that throws where it should reject takes nothing from a write that was done', async () => {
    const { cache, bus } = await open()
    const failures = jest.fn()
    cache.on('failure', failures)
    const error = new Error('a bug in the bus')
    bus.publish = () => {
      throw error
    }
    await cache.set('key', 'value')
    await sleep(1)
    expect(failures).toHaveBeenCalledWith({ error, namespace: '' })
    expect(await cache.get('key')).toBe('value')
  })

  test('that cannot be subscribed to at first is tried again, and what was kept until then is dropped', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'performance'] })
    const one = create()
    const { cache: other } = await open()
    one.bus.fails = new Error('the bus is down')
    await other.set('key', 'old')
    await warm(one.cache)
    await other.set('key', 'new')
    expect(await one.cache.get('key')).toBe('old')
    one.bus.fails = undefined
    await jest.advanceTimersByTimeAsync(1100)
    expect(await one.cache.get('key')).toBe('new')
    await warm(one.cache)
    await other.set('key', 'newer')
    expect(await one.cache.get('key')).toBe('newer')
  })

  test('is closed with the cache, and so is the local backend', async () => {
    const { cache, bus, local } = await open()
    await cache.set('key', 'value')
    await cache.namespace('view').close()
    expect(bus.closed).toBe(false)
    await cache.close()
    expect(bus.closed).toBe(true)
    await expect(local.get('key')).rejects.toMatchObject({ code: 'CACHE_CLOSED' })
  })
})

test.each([
  ['local', { local: {} }],
  ['local', { local: 'memory' }],
  ['bus', { bus: {} }],
  ['bus', { local: undefined }],
  ['localTtl', { localTtl: -1 }],
])('%s is refused at once where it is %j', (name, options) => {
  const made = () => create(options as never)
  expect(made).toThrow(name)
  try {
    made()
  } catch (error) {
    expect(isCacheError(error, 'CACHE_INVALID_ARGUMENT')).toBe(true)
  }
})

test('no call answers what was invalidated before it began, in random operations of four processes', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const random = new Random(seed)
  store.before = async () => {
    if (random.below(3) === 0) await sleep(random.below(3))
  }
  const processes = await Promise.all(Array.from({ length: 4 }, () => open({ lease: { ttl: 1000 } })))
  let clock = 0
  const ended: { key: string; start: number; end: number }[] = []
  const violations: unknown[] = []
  let reads = 0
  const one = async (): Promise<void> => {
    const { cache } = processes[random.below(4)] as Process
    const key = `key${random.below(3)}`
    const start = ++clock
    const done = (...keys: string[]): void => {
      for (const each of keys) ended.push({ key: each, start, end: ++clock })
    }
    switch (random.below(14)) {
      case 0:
        await cache.delete(key)
        return done(key)
      case 1: {
        // A value that is set counts as born when that was done: later than anybody can read it.
        await cache.set(key, { born: Number.MAX_SAFE_INTEGER }, { ttl: 10, tags: ['tag'] })
        return done(key)
      }
      case 2:
        await (random.below(3) === 0 ? cache.clear() : cache.deleteByTag('tag'))
        return done('key0', 'key1', 'key2')
      default: {
        const loader = async (): Promise<{ born: number }> => {
          const born = ++clock
          await sleep(random.below(3))
          return { born }
        }
        const options = { tags: ['tag'], refresh: random.below(30) === 0 }
        const { born } = await cache.getOrSet(key, loader, options)
        reads++
        const latest = ended.filter(each => each.key === key && each.end < start).map(each => each.start)
        if (born < Math.max(0, ...latest)) violations.push({ key, start, born, latest: Math.max(...latest) })
      }
    }
  }
  let left = 1000
  const worker = async (): Promise<void> => {
    while (left-- > 0) await one()
  }
  await Promise.all(Array.from({ length: 12 }, worker))
  expect(reads).toBeGreaterThan(600)
  expect({ seed, violations: violations.slice(0, 3) }).toEqual({ seed, violations: [] })
}, 120_000)
