import { type Cache, type CacheOptions, createCache, isCacheError } from '../src/index.ts'
import { SqliteStore, StoreDown } from './sqlite-store.ts'

let store: SqliteStore
const caches: Cache[] = []

/** A cache as another process would have: of this store, it shares nothing else. */
function open(options: Partial<CacheOptions<unknown>> = {}): Cache {
  const cache = createCache({ backend: store.backend(), ...options })
  caches.push(cache)
  return cache
}

function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void; fail: (error: unknown) => void } {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  return { promise, open: resolve, fail: reject }
}

const sleep = (milliseconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1)
}

const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    error => (isCacheError(error) ? error.code : error),
  )

beforeEach(() => {
  store = new SqliteStore()
})

afterEach(async () => {
  await Promise.all(caches.splice(0).map(cache => cache.close()))
})

describe('leases', () => {
  test('however many processes miss, one loads', async () => {
    const loaded = gate<string>()
    const loader = jest.fn(() => loaded.promise)
    const four = [open(), open(), open(), open()]
    const calls = four.flatMap(cache => Array.from({ length: 250 }, () => cache.getOrSet('key', loader)))
    await until(() => loader.mock.calls.length > 0)
    await sleep(50)
    loaded.open('value')
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['value']))
    expect(loader).toHaveBeenCalledTimes(1)
  })

  test('callers who want what is just being read share one more read, which begins after the last of them has called', async () => {
    const cache = open()
    await cache.set('key', { name: 'old' })
    store.calls.splice(0)
    const values: Promise<unknown>[] = Array.from({ length: 250 }, () =>
      cache.getOrSet('key', () => 'loaded', { tags: ['tag'] }),
    )
    values.push(...Array.from({ length: 250 }, () => cache.get('key')))
    // The key and the token of its tag in a batch; the key alone.
    expect(store.calls).toHaveLength(2 + 1)
    store.db.prepare('UPDATE cache SET value = ?').run(Buffer.from('7'))
    expect(new Set(await Promise.all(values))).toEqual(new Set([7]))
    expect(store.calls).toHaveLength(2 * (2 + 1))
    expect(await cache.get('key')).toBe(7)
    expect(store.calls).toHaveLength(7)
  })

  test('nobody shares a read that began in an earlier turn', async () => {
    const cache = open()
    const answers = [gate(), gate()]
    store.before = async () => answers[store.calls.length - 1]?.promise
    const first = cache.get('key')
    await sleep(5)
    const later = [cache.get('key'), cache.get('key')]
    await sleep(5)
    expect(store.calls).toHaveLength(2)
    const last = cache.get('key')
    await sleep(5)
    expect(store.calls).toHaveLength(3)
    for (const answer of answers) answer.open()
    expect(await Promise.all([first, ...later, last])).toEqual([undefined, undefined, undefined, undefined])
  })

  test('a batch and a key that is called like it are two things', async () => {
    const cache = open()
    await cache.setMany([
      ['a', 1],
      ['b', 2],
      ['["a","b"]', 3],
      ['~["a","b"]', 4],
    ])
    const values = await Promise.all([
      cache.getMany(['a', 'b']),
      cache.getMany(['a', 'b']),
      cache.get('["a","b"]'),
      cache.get('~["a","b"]'),
    ])
    expect(values).toEqual([[1, 2], [1, 2], 3, 4])
  })

  test('callers that share a read get an object each', async () => {
    const cache = open()
    await cache.set('key', { name: 'Ada' })
    const [first, second] = await Promise.all([cache.get('key'), cache.get('key')])
    expect(first).toEqual({ name: 'Ada' })
    expect(first).not.toBe(second)
  })

  test('a read that fails is asked again by who comes later', async () => {
    const cache = open({ breaker: false })
    await cache.set('key', 'value')
    store.before = async () => {
      throw new StoreDown()
    }
    const failed = await Promise.all([cache.get('key'), cache.get('key')].map(code))
    expect(failed).toEqual(['CACHE_UNAVAILABLE', 'CACHE_UNAVAILABLE'])
    store.before = async () => {}
    expect(await cache.get('key')).toBe('value')
  })

  test('a loader that takes longer than the lease keeps it', async () => {
    const loaded = gate<string>()
    const loader = jest.fn(() => loaded.promise)
    const lease = { ttl: 400 }
    const calls = [open({ lease }).getOrSet('key', loader), open({ lease }).getOrSet('key', loader)]
    await sleep(1000)
    expect(loader).toHaveBeenCalledTimes(1)
    loaded.open('value')
    expect(await Promise.all(calls)).toEqual(['value', 'value'])
    expect(loader).toHaveBeenCalledTimes(1)
  })

  test('a lease that nobody renews any more holds up others no longer than it lives', async () => {
    const [dead, alive] = [store.backend(), open({ lease: { ttl: 200 } })]
    const abandoned = createCache({ backend: dead, lease: { ttl: 200 } })
    abandoned.getOrSet('key', () => new Promise(() => {})).catch(() => {})
    await until(() => store.rows().size > 0)
    await dead.close() // and with it the renewals fail, as those of a killed process end
    const start = performance.now()
    expect(await alive.getOrSet('key', () => 'value')).toBe('value')
    expect(performance.now() - start).toBeLessThan(200 * 1.2 + 100)
  })

  test('a loader that fails is called once for each process, whose callers get its error', async () => {
    const loader = jest.fn(async () => {
      await sleep(5)
      throw new Error('origin is down')
    })
    const calls = [open(), open()].flatMap(cache => Array.from({ length: 50 }, () => cache.getOrSet('key', loader)))
    const results = await Promise.allSettled(calls)
    expect(results.every(({ status }) => status === 'rejected')).toBe(true)
    expect(loader).toHaveBeenCalledTimes(2)
    expect(store.rows().size).toBe(0)
  })

  test('who waits longer than lease.wait loads without storing', async () => {
    const held = gate<string>()
    const first = open().getOrSet('key', () => held.promise)
    await until(() => store.rows().size > 0)
    expect(await open({ lease: { wait: 30 } }).getOrSet('key', () => 'own')).toBe('own')
    held.open('held')
    expect(await first).toBe('held')
    expect(await open().get('key')).toBe('held')
  })

  test('to other methods a lease is nothing', async () => {
    const held = gate<string>()
    const loading = open().getOrSet('key', () => held.promise)
    await until(() => store.rows().size > 0)
    const other = open()
    expect(await other.get('key')).toBe(undefined)
    expect(await other.has('key')).toBe(false)
    expect(await other.getMany(['key'])).toEqual([undefined])
    expect(await other.touch('key', { ttl: '1h' })).toBe(false)
    for await (const key of other.keys()) expect(key).toBe('no key at all')
    expect(await other.add('key', 'added')).toBe(true)
    held.open('loaded')
    expect(await loading).toBe('loaded')
    expect(await other.get('key')).toBe('added')
    await other.delete('key')
    const again = open().getOrSet('key', () => sleep(20).then(() => 'loaded'))
    await until(() => store.rows().size > 0)
    expect(await other.increment('key', 5)).toBe(5)
    expect(await again).toBe('loaded')
    expect(await other.get('key')).toBe(5)
  })

  test("lease: 'process' writes no lease", async () => {
    const cache = open({ lease: 'process' })
    const loader = (): string => {
      expect(store.rows().size).toBe(0)
      return 'value'
    }
    expect(await cache.getOrSet('key', loader)).toBe('value')
    expect(await cache.getOrSet('key', () => 'other')).toBe('value')
  })

  test('a loader that asks for its own key gets an error, not a deadlock', async () => {
    for (const cache of [open(), open({ lease: 'process' })]) {
      const inner: Promise<unknown>[] = []
      const own = cache.getOrSet('key', async () => {
        inner.push(code(cache.getOrSet('key', () => 1)))
        return inner[0]
      })
      expect(await own).toBe('CACHE_INVALID_ARGUMENT')
      await cache.clear()
      expect(await cache.getOrSet('a', () => cache.getOrSet('b', () => cache.getOrSet('c', () => 'deep')))).toBe('deep')
      await cache.clear()
    }
  })
})

describe('a store that is slow for one of them', () => {
  /** A cache whose reads wait for `answered`, once `slow` is set. */
  function slowReader(options: Partial<CacheOptions<unknown>> = {}) {
    const backend = store.backend()
    const answered = gate()
    const reader = { cache: open({ backend, ...options }), answered, slow: false, reads: 0 }
    backend.get = async key => {
      reader.reads++
      if (reader.slow) await answered.promise
      return Object.getPrototypeOf(backend).get.call(backend, key)
    }
    return reader
  }

  test('who gets no answer does not join a load that began before an invalidation by another process', async () => {
    const reader = slowReader({ storeTimeout: 30, breaker: false })
    const old = gate<string>()
    const first = reader.cache.getOrSet('key', () => old.promise)
    await until(() => reader.reads > 0 && store.rows().size > 0)
    await open().delete('key')
    reader.slow = true
    const loader = jest.fn(() => 'new')
    const second = [reader.cache.getOrSet('key', loader), reader.cache.getOrSet('key', loader)]
    await sleep(60)
    // One load after the other: the origin is spared.
    expect(loader).not.toHaveBeenCalled()
    old.open('old')
    expect(await first).toBe('old')
    expect(await Promise.all(second)).toEqual(['new', 'new'])
    expect(loader).toHaveBeenCalledTimes(1)
    reader.answered.open()
  })

  test('whose answer comes after the load that others began has failed gets its error, and calls no loader', async () => {
    const reader = slowReader()
    const error = new Error('the origin is down')
    const loader = jest.fn(async () => {
      throw error
    })
    reader.slow = true
    const late = reader.cache.getOrSet('key', loader)
    await until(() => reader.reads > 0)
    reader.slow = false
    await expect(reader.cache.getOrSet('key', loader)).rejects.toBe(error)
    reader.answered.open()
    await expect(late).rejects.toBe(error)
    expect(loader).toHaveBeenCalledTimes(1)
    // A call that begins now is another matter.
    expect(await reader.cache.getOrSet('key', () => 'value')).toBe('value')
  })

  test('who joins a refresh of what was deleted before gets no stale value of it, should it fail', async () => {
    const options = { ttl: 1, staleIfError: '1h' } as const
    const backend = store.backend()
    const [one, other] = [open({ backend }), open()]
    await one.getOrSet('key', () => 'old', options)
    await sleep(5)
    const acquiring = gate()
    const proceed = gate()
    backend.add = async (...args) => {
      acquiring.open()
      await proceed.promise
      return Object.getPrototypeOf(backend).add.apply(backend, args)
    }
    const fail = async () => {
      throw new Error('the origin is down')
    }
    const first = one.getOrSet('key', fail, options)
    await acquiring.promise
    await other.delete('key')
    const second = one.getOrSet('key', fail, options)
    await sleep(5)
    proceed.open()
    expect(await first).toBe('old')
    await expect(second).rejects.toThrow('the origin is down')
  })
})

describe('tags', () => {
  test('deleteByTag deletes what carries the tag, whoever stored it, in one call of the store', async () => {
    const [cache, other] = [open(), open()]
    await cache.setMany([
      ['a', 1, { tags: ['red', 'round'] }],
      ['b', 2, { tags: ['red'] }],
      ['c', 3, { tags: ['blue'] }],
      ['d', 4],
    ])
    expect(await other.getOrSet('e', () => 5, { tags: ['red'] })).toBe(5)
    store.calls.length = 0
    await other.deleteByTag('red')
    expect(store.calls).toEqual(['get', 'swap'])
    expect(await cache.getMany(['a', 'b', 'c', 'd', 'e'])).toEqual([undefined, undefined, 3, 4, undefined])
    expect(await cache.has('a')).toBe(false)
    expect(await cache.getEntry('a')).toBe(undefined)
    expect((await cache.getEntry('c'))?.tags).toEqual(['blue'])
    expect(await cache.add('a', 'new', { tags: ['red'] })).toBe(true)
    expect(await cache.get('a')).toBe('new')
    expect(await cache.touch('b')).toBe(false)
    const keys: string[] = []
    for await (const key of cache.keys()) keys.push(key)
    expect(keys.sort()).toEqual(['a', 'c', 'd'])
  })

  test('a value that was loaded while its tag was deleted is dead', async () => {
    const [cache, other] = [open(), open()]
    const held = gate<string>()
    const loading = cache.getOrSet('key', () => held.promise, { tags: ['tag'] })
    await until(() => store.rows().size > 1)
    await other.deleteByTag('tag')
    const later = cache.getOrSet('key', () => 'after', { tags: ['tag'] })
    held.open('before')
    expect(await loading).toBe('before')
    expect(await later).toBe('after')
    expect(await other.get('key')).toBe('after')
  })

  test('tags belong to their namespace', async () => {
    const cache = open()
    await cache.set('key', 1, { tags: ['tag'] })
    await cache.namespace('inner').set('key', 2, { tags: ['tag'] })
    await cache.deleteByTag('tag')
    expect(await cache.namespace('inner').get('key')).toBe(2)
    expect(await cache.get('key')).toBe(undefined)
  })

  test('a token that lives shorter than its entry is prolonged', async () => {
    let now = 0
    const timed = (): Cache => open({ backend: store.backend({ now: () => now }) })
    const spy = jest.spyOn(Date, 'now').mockImplementation(() => now)
    try {
      await timed().set('short', 1, { ttl: '1s', tags: ['tag'] })
      await timed().set('long', 2, { ttl: '30d', tags: ['tag'] })
      await timed().set('forever', 3, { tags: ['tag'] })
      now += 29 * 86_400_000
      expect(await timed().getMany(['short', 'long', 'forever'])).toEqual([undefined, 2, 3])
      now += 1000 * 86_400_000
      expect(await timed().getMany(['short', 'long', 'forever'])).toEqual([undefined, undefined, 3])
    } finally {
      spy.mockRestore()
    }
  })

  test.each([[['']], [[5]], ['tag'], [Array.from({ length: 33 }, (_, index) => `${index}`)], [['x'.repeat(257)]]])(
    'tags %p are refused',
    async tags => {
      const cache = open()
      const bad = tags as string[]
      expect(await code(cache.set('key', 1, { tags: bad }))).toBe('CACHE_INVALID_ARGUMENT')
      expect(await code(cache.getOrSet('key', () => 1, { tags: bad }))).toBe('CACHE_INVALID_ARGUMENT')
      expect(store.calls).toEqual([])
    },
  )

  test('an integer with tags counts, and keeps them', async () => {
    const cache = open()
    await cache.set('n', 5, { tags: ['tag'], ttl: '1h' })
    expect(await cache.increment('n', 2)).toBe(7)
    expect((await cache.getEntry('n'))?.tags).toEqual(['tag'])
    expect((await cache.getEntry('n'))?.ttl).toBeGreaterThan(3_500_000)
    await cache.deleteByTag('tag')
    expect(await cache.increment('n')).toBe(1)
  })
})

describe('stale values', () => {
  const brief = { ttl: 20, staleWhileRevalidate: '1h' } as const

  test('staleWhileRevalidate answers at once and loads in the background, once for all processes', async () => {
    const [cache, other] = [open(brief), open(brief)]
    await cache.set('key', 'old')
    await sleep(30)
    const held = gate<string>()
    const loader = jest.fn(() => held.promise)
    const calls = [cache, other].flatMap(each => Array.from({ length: 20 }, () => each.getOrSet('key', loader)))
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['old']))
    await until(() => loader.mock.calls.length > 0)
    expect(await cache.getEntry('key')).toEqual({ value: 'old', ttl: 0, stale: true, tags: [] })
    expect(await cache.get('key')).toBe(undefined)
    held.open('new')
    await until(() => cache.stats().loads + other.stats().loads === 1)
    await sleep(20)
    expect(loader).toHaveBeenCalledTimes(1)
    expect((await other.getEntry('key'))?.value).toBe('new')
    expect([...store.rows().keys()]).toEqual(['cachekit:key'])
  })

  test('a refresh in the background that fails leaves the stale value, and no unhandled rejection', async () => {
    const cache = open(brief)
    await cache.set('key', 'old')
    await sleep(30)
    const failing = (): never => {
      throw new Error('origin is down')
    }
    expect(await cache.getOrSet('key', failing)).toBe('old')
    await sleep(20)
    expect(await cache.getOrSet('key', failing)).toBe('old')
    expect(cache.stats().loadFailures).toBeGreaterThan(0)
  })

  test('a refresh in the background goes on when a caller who waited for it leaves', async () => {
    const cache = open(brief)
    await cache.set('key', 'old')
    await sleep(30)
    const held = gate<string>()
    expect(await cache.getOrSet('key', () => held.promise)).toBe('old')
    await until(() => cache.stats().loads === 1)
    const leaving = new AbortController()
    const options = { staleWhileRevalidate: 0, signal: leaving.signal }
    const waiting = code(cache.getOrSet('key', () => 'own', options))
    await sleep(20)
    leaving.abort(new Error('left'))
    expect(await waiting).toEqual(new Error('left'))
    held.open('new')
    await sleep(20)
    expect((await cache.getEntry('key'))?.value).toBe('new')
  })

  test('staleIfError waits for the loader, and answers the old value where it fails', async () => {
    const cache = open({ ttl: 20, staleIfError: '1h' })
    await cache.set('key', 'old')
    await sleep(30)
    const failing = jest.fn(async () => {
      throw new Error('origin is down')
    })
    expect(await Promise.all([cache.getOrSet('key', failing), cache.getOrSet('key', failing)])).toEqual(['old', 'old'])
    expect(failing).toHaveBeenCalledTimes(1)
    await expect(cache.getOrSet('key', failing, { staleIfError: 0 })).rejects.toThrow('origin is down')
    expect(await cache.getOrSet('key', () => 'new')).toBe('new')
    expect(await cache.get('key')).toBe('new')
  })

  test('after an invalidation nothing stale is left', async () => {
    const cache = open(brief)
    await cache.set('key', 'old', { tags: ['tag'] })
    await sleep(30)
    await open().deleteByTag('tag')
    expect(await cache.getOrSet('key', () => 'new')).toBe('new')
  })

  test('memory has stale values, too', async () => {
    const { InMemoryBackend } = await import('../../memory/src/index.ts')
    const cache = open({ ...brief, backend: new InMemoryBackend() })
    await cache.set('key', 'old', { tags: ['tag'] })
    expect(await cache.get('key')).toBe('old')
    await sleep(30)
    expect(await cache.getOrSet('key', () => 'new')).toBe('old')
    await until(() => cache.stats().loads === 1)
    await sleep(5)
    expect(await cache.getOrSet('key', () => 'newer')).toBe('new')
    await cache.set('tagged', 1, { tags: ['tag'] })
    await cache.deleteByTag('tag')
    expect(await cache.get('tagged')).toBe(undefined)
  })
})

describe('timeouts of loaders', () => {
  test('after the soft one the load goes on, and is stored', async () => {
    const cache = open({ loaderTimeout: { soft: 20 } })
    const slow = (): Promise<string> => sleep(60).then(() => 'value')
    expect(await code(cache.getOrSet('key', slow))).toBe('CACHE_LOADER_TIMEOUT')
    await sleep(80)
    expect(await cache.get('key')).toBe('value')
  })

  test('after the soft one a stale value is better than none', async () => {
    const cache = open({ ttl: 10, staleIfError: '1h', loaderTimeout: { soft: 20 } })
    await cache.set('key', 'old')
    await sleep(15)
    expect(await cache.getOrSet('key', () => sleep(60).then(() => 'new'))).toBe('old')
    await sleep(80)
    expect((await cache.getEntry('key'))?.value).toBe('new')
  })

  test('after the hard one the signal fires, and nothing is stored', async () => {
    const cache = open({ loaderTimeout: { hard: 20 } })
    let signal: AbortSignal | undefined
    const never = (context: { signal: AbortSignal }): Promise<never> => {
      signal = context.signal
      return new Promise(() => {})
    }
    expect(await code(cache.getOrSet('key', never))).toBe('CACHE_LOADER_TIMEOUT')
    expect(signal?.aborted).toBe(true)
    expect(await cache.getOrSet('key', () => 'value')).toBe('value')
    expect(await cache.get('key')).toBe('value')
  })
})

describe('loaders', () => {
  test('what cannot be stored reaches nobody: each caller gets the path of the culprit, and the lease is given up', async () => {
    const cache = open()
    const loader = jest.fn(() => ({ list: [1, () => {}] }))
    const calls = [cache.getOrSet('key', loader), cache.getOrSet('key', loader)]
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({
        code: 'CACHE_NOT_SERIALIZABLE',
        message: expect.stringContaining('value.list[1]'),
      })
    }
    expect(loader).toHaveBeenCalledTimes(1)
    expect(store.rows().size).toBe(0)
  })

  test('that throw at once, or nothing at all, are as those that reject', async () => {
    const cache = open()
    const thrown = await cache
      .getOrSet('key', () => {
        throw undefined
      })
      .catch(error => [error])
    expect(thrown).toEqual([undefined])
    expect(await cache.getOrSet('key', () => 'value')).toBe('value')
  })
})

describe('getOrSetMany', () => {
  test('one call of the loader with what is missing', async () => {
    const cache = open()
    await cache.set('a', 1)
    const loader = jest.fn(async (keys: readonly string[]) => new Map([...keys, 'extra'].map(key => [key, key])))
    expect(await cache.getOrSetMany(['b', 'a', 'c', 'b'], loader)).toEqual(['b', 1, 'c', 'b'])
    expect(loader.mock.calls.map(([keys]) => keys)).toEqual([['b', 'c']])
    expect(await cache.getMany(['a', 'b', 'c', 'extra'])).toEqual([1, 'b', 'c', undefined])
    expect(await cache.getOrSetMany([], loader)).toEqual([])
    expect(loader).toHaveBeenCalledTimes(1)
  })

  test('a key without a value is undefined, and not stored', async () => {
    const cache = open()
    expect(await cache.getOrSetMany(['a', 'b'], () => new Map([['a', undefined]]))).toEqual([undefined, undefined])
    expect(await cache.has('a')).toBe(true)
    expect(await cache.has('b')).toBe(false)
    expect([...store.rows().keys()]).toEqual(['cachekit:a'])
  })

  test('keys that are being loaded already are waited for, not loaded again', async () => {
    const cache = open()
    const held = gate<string>()
    const one = cache.getOrSet('a', () => held.promise)
    await until(() => store.rows().size > 0)
    const loader = jest.fn((keys: readonly string[]) => new Map(keys.map(key => [key, key])))
    const many = cache.getOrSetMany(['a', 'b'], loader)
    await until(() => loader.mock.calls.length > 0)
    held.open('from the other')
    expect(await many).toEqual(['from the other', 'b'])
    expect(await one).toBe('from the other')
    expect(loader.mock.calls.map(([keys]) => keys)).toEqual([['b']])
  })

  test('an error reaches the caller, and leases are given up', async () => {
    const cache = open()
    const failing = (): never => {
      throw new Error('origin is down')
    }
    await expect(cache.getOrSetMany(['a', 'b'], failing)).rejects.toThrow('origin is down')
    await sleep(10)
    expect(store.rows().size).toBe(0)
    expect(await code(cache.getOrSetMany(['a'], () => [] as never))).toBe('CACHE_INVALID_ARGUMENT')
  })
})

describe('the breaker', () => {
  test('stops asking a store that fails, and goes on when it is back', async () => {
    const cache = open({ breaker: { failures: 3, retryAfter: 50 } })
    await cache.set('key', 'stored')
    store.before = async () => {
      throw new StoreDown()
    }
    for (let call = 0; call < 3; call++) expect(await cache.getOrSet('key', () => 'loaded')).toBe('loaded')
    store.calls.length = 0
    expect(await cache.getOrSet('key', () => 'loaded')).toBe('loaded')
    expect(await code(cache.get('key'))).toBe('CACHE_UNAVAILABLE')
    expect(store.calls).toEqual([])
    store.before = async () => {}
    await sleep(60)
    await code(cache.get('key')) // has the store probed
    await sleep(10)
    expect(await cache.get('key')).toBe('stored')
    expect(cache.stats().failures).toBeGreaterThanOrEqual(3)
  })

  test('mistakes of callers do not open it', async () => {
    const cache = open({ breaker: { failures: 1 } })
    await code(cache.set('key', () => {}))
    await cache.set('text', 'x')
    await code(cache.increment('text'))
    expect(await cache.get('text')).toBe('x')
  })
})

describe('events and statistics', () => {
  test('tell what happened, with key and namespace', async () => {
    const cache = open()
    const heard: unknown[] = []
    const names = ['hit', 'miss', 'load', 'set', 'delete', 'deleteByTag', 'clear', 'stale', 'failure'] as const
    for (const name of names) cache.on(name, event => heard.push([name, event]))
    const users = cache.namespace('users')
    await users.getOrSet('1', () => 'ada')
    await users.getOrSet('1', () => 'ada')
    await cache.delete('x')
    await cache.deleteByTag('t')
    await cache.clear()
    const at = { key: '1', namespace: 'users' }
    expect(heard).toEqual([
      ['miss', at],
      ['load', { ...at, milliseconds: expect.any(Number) }],
      ['set', at],
      ['hit', at],
      ['delete', { key: 'x', namespace: '' }],
      ['deleteByTag', { tags: ['t'], namespace: '' }],
      ['clear', { namespace: '' }],
    ])
    expect(cache.stats()).toEqual({ hits: 1, stale: 0, misses: 1, loads: 1, loadFailures: 0, failures: 0 })
  })

  test('a namespace hears its own, until it stops listening; what a listener throws stops nothing', async () => {
    const cache = open()
    const [a, b] = [cache.namespace('a'), cache.namespace('ab')]
    const listener = jest.fn(() => {
      throw new Error('a listener')
    })
    const stop = a.on('set', listener)
    const warning = jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
    await a.set('key', 1)
    await b.set('key', 1)
    await a.namespace('inner').set('key', 1)
    expect(listener).toHaveBeenCalledTimes(2)
    expect(warning).toHaveBeenCalledTimes(2)
    stop()
    await a.set('key', 2)
    expect(listener).toHaveBeenCalledTimes(2)
    warning.mockRestore()
    expect(() => cache.on('nothing' as never, () => {})).toThrow('An event must be one of hit,')
  })

  test('node:diagnostics_channel hears it, too', async () => {
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel')
    const heard: unknown[] = []
    const listener = (event: unknown): void => void heard.push(event)
    subscribe('cachekit:miss', listener)
    await open().get('key')
    unsubscribe('cachekit:miss', listener)
    expect(heard).toEqual([{ key: 'key', namespace: '' }])
  })
})

describe('schemas', () => {
  const schema = {
    '~standard': {
      validate: (value: unknown) =>
        typeof value === 'number' ? { value } : { issues: [{ message: 'not a number', path: ['x', { key: 'y' }] }] },
    },
  }

  test('a stored value that does not fit is a miss, and repaired', async () => {
    const cache = open()
    await cache.set('key', 'from an older release')
    const strict = cache.namespace('ns', { schema })
    await cache.namespace('ns').set('key', 'from an older release')
    expect(await strict.get('key')).toBe(undefined)
    expect(await strict.getOrSet('key', () => 5)).toBe(5)
    expect(await strict.get('key')).toBe(5)
    expect(await cache.namespace('ns').get('key')).toBe(5)
  })

  test('one that throws fits nothing: a stored value is a miss, a loaded one is refused with the cause', async () => {
    const cache = open()
    await cache.set('key', 'value')
    const cause = new TypeError('a bug in the schema')
    const schema = {
      '~standard': {
        validate: () => {
          throw cause
        },
      },
    }
    const loader = jest.fn(() => 'loaded')
    const call = cache.getOrSet('key', loader, { schema: schema as never })
    await expect(call).rejects.toMatchObject({ code: 'CACHE_INVALID_VALUE', cause })
    expect(loader).toHaveBeenCalledTimes(1)
    expect(await cache.namespace('strict', { schema: schema as never }).get('key')).toBe(undefined)
  })

  test('a loaded or set one is refused, and not stored', async () => {
    const strict = open({ schema })
    expect(await code(strict.getOrSet('key', () => 'text'))).toBe('CACHE_INVALID_VALUE')
    expect(await code(strict.set('key', 'text'))).toBe('CACHE_INVALID_VALUE')
    await expect(strict.set('key', 'text')).rejects.toThrow('value.x.y')
    await sleep(5)
    expect(store.rows().size).toBe(0)
  })
})
