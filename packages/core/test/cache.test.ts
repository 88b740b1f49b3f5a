import { type Cache, CacheError, type CacheOptions, createCache, isCacheError } from '../src/index.ts'
import { SqliteStore, StoreDown } from './sqlite-store.ts'

let store: SqliteStore
let cache: Cache
const caches: Cache[] = []

function open(options: Partial<CacheOptions<unknown>> = {}): Cache {
  const made = createCache({ backend: store.backend(), ...options })
  caches.push(made)
  return made
}

/** A promise, and the function that resolves it. */
function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  const { promise, resolve } = Promise.withResolvers<T>()
  return { promise, open: resolve }
}

async function code(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    return isCacheError(error) ? error.code : `not a CacheError: ${error}`
  }
}

async function keysOf(of: Cache): Promise<string[]> {
  const keys: string[] = []
  for await (const key of of.keys()) keys.push(key)
  return keys.sort()
}

beforeEach(() => {
  store = new SqliteStore()
  cache = open()
})

afterEach(async () => {
  await Promise.all(caches.splice(0).map(each => each.close()))
})

describe('values', () => {
  test.each([
    ['a string', 'text'],
    ['an empty string', ''],
    ['an integer', 42],
    ['a fraction', 0.1],
    ['negative zero', -0],
    ['null', null],
    ['a Date', new Date(0)],
    ['a Map of Sets', new Map([['a', new Set([1n])]])],
    ['an object with undefined', { a: undefined, b: [1, null] }],
  ])('%s comes back as it was, to another cache on the store, too', async (_, value) => {
    await cache.set('key', value)
    expect(await cache.get('key')).toStrictEqual(value)
    expect(await open().get('key')).toStrictEqual(value)
    expect(store.rows().size).toBe(1)
  })

  test('a cached undefined is an entry: has and getEntry tell it from a miss', async () => {
    await cache.set('key', undefined)
    expect(await cache.get('key')).toBe(undefined)
    expect(await cache.has('key')).toBe(true)
    expect(await cache.getEntry('key')).toEqual({ value: undefined, ttl: undefined, stale: false, tags: [] })
    expect(await cache.has('other')).toBe(false)
    expect(await cache.getEntry('other')).toBe(undefined)
  })

  test('what cannot come back as it was is refused, and what was stored stays', async () => {
    await cache.set('key', 'old')
    expect(await code(cache.set('key', () => {}))).toBe('CACHE_NOT_SERIALIZABLE')
    expect(
      await code(
        cache.setMany([
          ['key', 1],
          ['other', Symbol('x')],
        ]),
      ),
    ).toBe('CACHE_NOT_SERIALIZABLE')
    expect(await cache.get('key')).toBe('old')
    expect([...store.rows().keys()]).toEqual(['cachekit:key'])
  })

  test('integers are counters', async () => {
    await cache.set('n', 5)
    expect(store.rows().get('cachekit:n')?.toString()).toBe('5')
    expect(await cache.increment('n')).toBe(6)
    expect(await cache.get('n')).toBe(6)
    expect(await cache.increment('fresh', -2)).toBe(-2)
    await cache.set('text', '5')
    expect(await code(cache.increment('text'))).toBe('CACHE_NOT_A_COUNTER')
  })

  test('bytes that are not ours are a miss, which a load repairs', async () => {
    await cache.backend?.set('key', Buffer.from('{"by":"somebody else"}'))
    expect(await cache.get('key')).toBe(undefined)
    expect(await cache.has('key')).toBe(false)
    expect(await cache.getMany(['key'])).toEqual([undefined])
    expect(await cache.getOrSet('key', () => 'loaded')).toBe('loaded')
    expect(await cache.get('key')).toBe('loaded')
  })
})

describe('time', () => {
  test('ttl comes as a number, with a unit, for ever, and from the value', async () => {
    let now = 1_000_000
    const timed = open({ backend: store.backend({ now: () => now }), ttl: '5m' })
    const ttl = async (key: string): Promise<number | undefined> => (await timed.getEntry(key))?.ttl
    await timed.setMany([
      ['default', 1],
      ['number', 1, { ttl: 1.5 }],
      ['unit', 1, { ttl: '2h' }],
      ['forever', 1, { ttl: 'forever' }],
    ])
    expect(await Promise.all(['default', 'number', 'unit', 'forever'].map(ttl))).toEqual([
      300_000,
      2,
      7_200_000,
      undefined,
    ])
    await timed.getOrSet('computed', () => 'xyz', { ttl: value => value.length })
    expect(await ttl('computed')).toBe(3)
    now += 3
    expect(await timed.get('computed')).toBe(undefined)
    expect(await timed.get('number')).toBe(undefined)
    expect(await timed.get('default')).toBe(1)
  })

  test('touch gives a new lifetime, by default that of the cache', async () => {
    const timed = open({ backend: store.backend({ now: () => 0 }), ttl: '1m' })
    await timed.set('key', { a: 1 }, { ttl: 'forever' })
    expect(await timed.touch('key')).toBe(true)
    expect((await timed.getEntry('key'))?.ttl).toBe(60_000)
    expect(await timed.touch('key', { ttl: '1d' })).toBe(true)
    expect(await timed.getEntry('key')).toEqual({ value: { a: 1 }, ttl: 86_400_000, stale: false, tags: [] })
    expect(await timed.touch('absent')).toBe(false)
  })

  test('jitter only shortens', async () => {
    const jittery = open({ backend: store.backend({ now: () => 0 }), ttl: 1000, jitter: 0.5 })
    await jittery.setMany(Array.from({ length: 50 }, (_, index) => [`k${index}`, 'v'] as const))
    const ttls = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => (await jittery.getEntry(`k${index}`))?.ttl ?? 0),
    )
    expect(Math.min(...ttls)).toBeGreaterThanOrEqual(500)
    expect(Math.max(...ttls)).toBeLessThanOrEqual(1000)
    expect(new Set(ttls).size).toBeGreaterThan(5)
  })

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, '5 m', '', 'soon', '-1s', {}, null])(
    'ttl %p is refused before anything is stored',
    async ttl => {
      expect(await code(cache.set('key', 1, { ttl: ttl as number }))).toBe('CACHE_INVALID_TTL')
      expect(() => createCache({ backend: undefined, ttl: ttl as number })).toThrow(/ttl must be/)
      expect(store.calls).toEqual([])
    },
  )
})

describe('getOrSet', () => {
  test('loads once for any number of callers, and stores', async () => {
    const loaded = gate<{ n: number }>()
    const loader = jest.fn(() => loaded.promise)
    const callers = Array.from({ length: 100 }, () => cache.getOrSet('key', loader))
    loaded.open({ n: 1 })
    const values = await Promise.all(callers)
    expect(loader).toHaveBeenCalledTimes(1)
    expect(values).toEqual(values.map(() => ({ n: 1 })))
    expect(new Set(values).size).toBe(100) // an object of its own for each
    expect(await cache.getOrSet('key', loader)).toEqual({ n: 1 })
    expect(loader).toHaveBeenCalledTimes(1)
  })

  test('a load that ends between the reads of two callers serves both', async () => {
    const slow = gate()
    let reads = 0
    store.before = async hook => {
      if (hook === 'get' && ++reads === 2) await slow.promise
    }
    const loader = jest.fn(() => 'value')
    const first = cache.getOrSet('key', loader)
    const second = cache.getOrSet('key', loader)
    await first
    slow.open()
    expect(await second).toBe('value')
    expect(loader).toHaveBeenCalledTimes(1)
  })

  test('a miss that arrives at whatever moment of the end of a load is not loaded again', async () => {
    for (let moment = 0; moment < 30; moment++) {
      const backend = store.backend()
      const { add, get } = backend
      const stored = gate()
      let reads = 0
      backend.get = async key => {
        const found = await get.call(backend, key)
        if (++reads !== 2) return found
        await stored.promise
        for (let turn = 0; turn < moment; turn++) await undefined
        return found
      }
      backend.add = async (...args) => {
        const added = await add.apply(backend, args)
        stored.open()
        return added
      }
      const loader = jest.fn(() => 'value')
      const own = open({ backend })
      expect(await Promise.all([own.getOrSet(`${moment}`, loader), own.getOrSet(`${moment}`, loader)])).toEqual([
        'value',
        'value',
      ])
      expect(loader).toHaveBeenCalledTimes(1)
    }
  })

  test('hands the key and a signal to the loader', async () => {
    const loader = jest.fn((_: { key: string; signal: AbortSignal }) => 1)
    await cache.getOrSet('~key', loader)
    expect(loader.mock.calls[0]?.[0].key).toBe('~key')
    expect(loader.mock.calls[0]?.[0].signal.aborted).toBe(false)
  })

  test.each([[null], [undefined], [false], [0], ['']])('caches %p', async value => {
    const loader = jest.fn(() => value)
    expect(await cache.getOrSet('key', loader)).toBe(value)
    expect(await cache.getOrSet('key', loader)).toBe(value)
    expect(loader).toHaveBeenCalledTimes(1)
  })

  test('the error of a loader reaches every waiter as it is, and nothing is stored', async () => {
    const failure = new Error('origin is down')
    const loader = jest.fn(async () => {
      throw failure
    })
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => cache.getOrSet('key', loader)))
    expect(loader).toHaveBeenCalledTimes(1)
    expect(results.every(result => result.status === 'rejected' && result.reason === failure)).toBe(true)
    expect(store.rows().size).toBe(0)
    expect(await cache.getOrSet('key', () => 'again')).toBe('again')
  })

  test('shouldCache keeps a value out', async () => {
    const loader = jest.fn(() => 'secret')
    const shouldCache = (value: unknown): boolean => value !== 'secret'
    await cache.getOrSet('key', loader, { shouldCache })
    await cache.getOrSet('key', loader, { shouldCache })
    expect(loader).toHaveBeenCalledTimes(2)
    expect(store.rows().size).toBe(0)
  })

  test('refresh loads anew and replaces what is stored', async () => {
    await cache.set('key', 'old')
    expect(await cache.getOrSet('key', () => 'new', { refresh: true })).toBe('new')
    expect(await open().get('key')).toBe('new')
  })

  test('a signal ends the wait of its caller only; the last one to leave ends the load', async () => {
    const loaded = gate<string>()
    let loading: AbortSignal | undefined
    const loader = ({ signal }: { signal: AbortSignal }): Promise<string> => {
      loading = signal
      return loaded.promise
    }
    const [one, two] = [new AbortController(), new AbortController()]
    const first = cache.getOrSet('key', loader, { signal: one.signal })
    const second = cache.getOrSet('key', loader, { signal: two.signal })
    while (loading === undefined) await new Promise(setImmediate)
    one.abort(new Error('gone'))
    await expect(first).rejects.toThrow('gone')
    expect(loading?.aborted).toBe(false)
    two.abort(new Error('gone, too'))
    await expect(second).rejects.toThrow('gone, too')
    expect(loading?.aborted).toBe(true)
    expect(await cache.getOrSet('key', () => 'anew')).toBe('anew')
    loaded.open('late')
    await new Promise(setImmediate)
    expect(await open().get('key')).toBe('anew')
  })

  test('an aborted signal: no I/O at all', async () => {
    const loader = jest.fn()
    await expect(cache.getOrSet('key', loader, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
    expect(loader).not.toHaveBeenCalled()
    expect(store.calls).toEqual([])
  })

  test('a value that was loaded is a snapshot: what its loader does to it later changes nothing', async () => {
    const value = { list: [1] }
    await cache.getOrSet('key', () => value)
    value.list.push(2)
    expect(await cache.get('key')).toEqual({ list: [1] })
  })

  const invalidations: [string, (cache: Cache) => Promise<unknown>][] = [
    ['delete', each => each.delete('key')],
    ['deleteMany', each => each.deleteMany(['key'])],
    ['clear', each => each.clear()],
    ['set', each => each.set('key', 'newer')],
    ['setMany', each => each.setMany([['key', 'newer']])],
    ['increment', each => each.increment('key')],
  ]
  test.each(invalidations)('%s during a load: the loaded value is not written back', async (_, invalidate) => {
    const loaded = gate<string>()
    const loading = cache.getOrSet('key', () => loaded.promise)
    while (!store.calls.includes('get')) await new Promise(setImmediate)
    await new Promise(setImmediate)
    await invalidate(cache)
    const after = store.rows().get('cachekit:key')?.toString()
    const later = cache.getOrSet('key', () => 'loaded after')
    loaded.open('loaded before')
    expect(await loading).toBe('loaded before')
    expect(await later).not.toBe('loaded before')
    expect(await cache.get('key')).not.toBe('loaded before')
    if (after !== undefined) expect(store.rows().get('cachekit:key')?.toString()).toBe(after)
  })

  test('an invalidation waits for the value that is just being stored', async () => {
    const writing = gate()
    const reached = gate()
    store.before = async hook => {
      if (hook !== 'swap') return
      reached.open()
      await writing.promise
    }
    const loading = cache.getOrSet('key', () => 'old')
    await reached.promise
    const deleting = cache.delete('key')
    writing.open()
    await Promise.all([loading, deleting])
    expect(store.rows().size).toBe(0)
  })

  test('clear of a parent detaches the loads of its namespaces, not those of its neighbours', async () => {
    const [inside, outside] = [gate<string>(), gate<string>()]
    const parent = cache.namespace('a')
    const loads = [
      parent.namespace('b').getOrSet('key', () => inside.promise),
      cache.namespace('a2').getOrSet('key', () => outside.promise),
    ]
    while (store.calls.length < 2) await new Promise(setImmediate)
    await new Promise(setImmediate)
    await parent.clear()
    inside.open('in')
    outside.open('out')
    expect(await Promise.all(loads)).toEqual(['in', 'out'])
    expect([...store.rows().keys()]).toEqual(['cachekit:@a2:key'])
  })
})

describe('when the store fails', () => {
  const down = (): void => {
    store.before = async () => {
      throw new StoreDown()
    }
  }

  test('getOrSet loads and goes on, other calls reject', async () => {
    down()
    expect(await cache.getOrSet('key', () => 'loaded')).toBe('loaded')
    expect(await code(cache.get('key'))).toBe('CACHE_UNAVAILABLE')
    expect(await code(cache.set('key', 1))).toBe('CACHE_UNAVAILABLE')
    expect(await code(cache.delete('key'))).toBe('CACHE_UNAVAILABLE')
  })

  test('a write that fails does not take the loaded value from its callers', async () => {
    store.before = async hook => {
      if (hook === 'swap') throw new StoreDown()
    }
    expect(await cache.getOrSet('key', () => 'loaded')).toBe('loaded')
  })

  test('load-or-miss: reads are misses, writes still reject', async () => {
    const lenient = open({ onStoreFailure: 'load-or-miss' })
    down()
    expect(await lenient.get('key')).toBe(undefined)
    expect(await lenient.getMany(['a', 'b'])).toEqual([undefined, undefined])
    expect(await lenient.has('key')).toBe(false)
    expect(await lenient.getEntry('key')).toBe(undefined)
    expect(await lenient.getOrSet('key', () => 1)).toBe(1)
    expect(await code(lenient.set('key', 1))).toBe('CACHE_UNAVAILABLE')
  })

  test('reject: getOrSet rejects, too, and does not load', async () => {
    const strict = open({ onStoreFailure: 'reject' })
    const loader = jest.fn(() => 1)
    down()
    expect(await code(strict.getOrSet('key', loader))).toBe('CACHE_UNAVAILABLE')
    expect(loader).not.toHaveBeenCalled()
  })

  test('a batch that fails in part names the keys as they were given', async () => {
    const backend = store.backend()
    backend.setMany = async () => {
      const keys = ['~~odd', 'other']
      throw new CacheError({ code: 'CACHE_BATCH_FAILED', keys, outcome: 'unknown', backend: 'sqlite', message: 'half' })
    }
    const failing = open({ backend }).setMany([
      ['other', 1],
      ['~odd', 2],
    ])
    await expect(failing).rejects.toMatchObject({
      code: 'CACHE_BATCH_FAILED',
      keys: ['~odd', 'other'],
      outcome: 'unknown',
      backend: 'sqlite',
      message: 'half',
    })
  })

  test('getOrSet waits for a silent store no longer than storeTimeout', async () => {
    const impatient = open({ storeTimeout: 30 })
    const never = gate()
    store.before = () => never.promise
    const start = performance.now()
    expect(await impatient.getOrSet('key', () => 'loaded')).toBe('loaded')
    expect(performance.now() - start).toBeLessThan(500)
    never.open()
  })

  test('a value that is too large for the store is loaded, not stored', async () => {
    const large = 'x'.repeat(200_000)
    expect(await cache.getOrSet('key', () => large)).toBe(large)
    while (store.rows().size > 0) await new Promise(setImmediate) // the lease
    expect(await code(cache.set('key', large))).toBe('CACHE_VALUE_TOO_LARGE')
  })
})

describe('keys and namespaces', () => {
  test('a namespace is a cache of its own, with defaults of its own', async () => {
    const timed = open({ backend: store.backend({ now: () => 0 }), ttl: '1m' })
    const users = timed.namespace<string>('users', { ttl: '1h' })
    await users.set('1', 'ada')
    await timed.set('1', 'root')
    expect(await users.getEntry('1')).toEqual({ value: 'ada', ttl: 3_600_000, stale: false, tags: [] })
    expect(
      (await users.namespace('inner').getOrSet('x', () => 'y')) && (await users.namespace('inner').getEntry('x'))?.ttl,
    ).toBe(3_600_000)
    await users.clear()
    expect(await timed.get('1')).toBe('root')
    expect([...store.rows().keys()]).toEqual(['cachekit:1'])
  })

  test('two views of one namespace share its loads', async () => {
    const loader = jest.fn(() => new Promise(resolve => setTimeout(resolve, 5, 'value')))
    await Promise.all([cache.namespace('a').getOrSet('key', loader), cache.namespace('a').getOrSet('key', loader)])
    expect(loader).toHaveBeenCalledTimes(1)
  })

  test('keys that start with ~ stay apart from internal ones', async () => {
    await cache.setMany([
      ['~', 1],
      ['~~t:x', 2],
      ['~t:x', 3],
      ['x~', 4],
    ])
    expect(await keysOf(cache)).toEqual(['x~', '~', '~t:x', '~~t:x'].sort())
    expect(await cache.getMany(['~', '~~t:x', '~t:x', 'x~'])).toEqual([1, 2, 3, 4])
    await cache.backend?.set('~l:key', Buffer.from('lease'))
    expect(await keysOf(cache)).toHaveLength(4)
    expect(await cache.deleteMany(['~', '~t:x'])).toBe(undefined)
    expect(await keysOf(cache)).toEqual(['x~', '~~t:x'].sort())
  })

  test.each(['', 5, null, undefined, {}, '\ud800', 'x'.repeat(8193)])(
    'key %p is refused by every method',
    async key => {
      const bad = key as string
      const calls = [
        cache.get(bad),
        cache.getEntry(bad),
        cache.getMany(['a', bad]),
        cache.has(bad),
        cache.set(bad, 1),
        cache.setMany([
          ['a', 1],
          [bad, 1],
        ]),
        cache.add(bad, 1),
        cache.increment(bad),
        cache.touch(bad),
        cache.delete(bad),
        cache.deleteMany(['a', bad]),
        cache.getOrSet(bad, () => 1),
      ]
      expect(await Promise.all(calls.map(code))).toEqual(calls.map(() => 'CACHE_INVALID_KEY'))
      expect(store.calls).toEqual([])
    },
  )

  test('add stores where there is nothing', async () => {
    expect(await Promise.all([cache.add('key', 'a'), cache.add('key', 'b')])).toEqual([true, false])
    expect(await cache.get('key')).toBe('a')
  })
})

describe('life cycle', () => {
  test('after close every call rejects, and a closed namespace leaves the rest open', async () => {
    const users = cache.namespace('users')
    await users.close()
    expect(await code(users.get('a'))).toBe('CACHE_CLOSED')
    expect(await code(users.getOrSet('a', () => 1))).toBe('CACHE_CLOSED')
    expect(await cache.get('a')).toBe(undefined)
    const other = cache.namespace('other')
    await cache.close()
    await cache.close()
    for (const each of [cache, other]) {
      const calls = [
        each.get('a'),
        each.set('a', 1),
        each.getOrSet('a', () => 1),
        each.clear(),
        each.open(),
        keysOf(each),
      ]
      expect(await Promise.all(calls.map(code))).toEqual(calls.map(() => 'CACHE_CLOSED'))
    }
  })

  test('a load under way at close still answers its callers', async () => {
    const loaded = gate<string>()
    const loading = cache.getOrSet('key', () => loaded.promise)
    while (store.calls.length < 1) await new Promise(setImmediate)
    await new Promise(setImmediate)
    await cache.close()
    loaded.open('value')
    expect(await loading).toBe('value')
  })

  test('without a backend loaders just run', async () => {
    const bare = createCache({ backend: undefined })
    const loader = jest.fn(() => 'value')
    expect(await Promise.all([bare.getOrSet('key', loader), bare.getOrSet('key', loader)])).toEqual(['value', 'value'])
    expect(loader).toHaveBeenCalledTimes(2)
    await bare.set('key', 1)
    expect(await bare.get('key')).toBe(undefined)
    expect(bare.backend).toBe(undefined)
    await bare.close()
  })

  test.each([
    [undefined],
    [{}],
    [{ backend: {} }],
    [{ backend: undefined, jitter: 2 }],
    [{ backend: undefined, onStoreFailure: 'ignore' }],
    [{ backend: undefined, storeTimeout: 'soon' }],
    [{ backend: undefined, codec: {} }],
    [{ backend: undefined, shouldCache: true }],
  ])('createCache(%p) is refused at once', options => {
    expect(() => createCache(options as never)).toThrow(expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }))
  })
})
