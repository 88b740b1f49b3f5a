import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  type CacheBackend,
  createCache,
  isCacheError,
  type LiveEntry,
  type LiveStore,
  type StoredEntry,
} from '@cachekit/core'
import { InMemoryBackend, type InMemoryBackendOptions } from '@cachekit/memory'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value)

/** A live entry of which `encoded` counts the encodings. */
interface CountedEntry extends LiveEntry {
  encoded: number
}

function entry(value: unknown, options: { expiresAt?: number; size?: number } = {}): CountedEntry {
  return {
    value,
    expiresAt: options.expiresAt,
    size: options.size ?? 1,
    encoded: 0,
    encode() {
      this.encoded++
      return bytes(JSON.stringify(value))
    },
  }
}

const open: CacheBackend[] = []
afterEach(async () => {
  jest.useRealTimers()
  for (const backend of open.splice(0)) await backend.close()
})

function memory(options?: InMemoryBackendOptions): InMemoryBackend {
  const backend = new InMemoryBackend(options)
  open.push(backend)
  return backend
}

async function keysOf(backend: CacheBackend): Promise<string[]> {
  const keys: string[] = []
  for await (const key of backend.keys()) keys.push(key)
  return keys.sort()
}

function setAll(live: LiveStore, keys: string): void {
  for (const key of keys) live.set(key, entry(key))
}

/** The code of the error that `work` throws or rejects with. */
async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return isCacheError(error) ? error.code : String(error)
  }
}

describe('maxEntries', () => {
  test('is 10,000 by default', async () => {
    const { live } = memory()
    for (let index = 0; index <= 10_000; index++) live.set(`${index}`, entry(index))
    expect(live.get('0')).toBeUndefined()
    expect(live.get('1')).toBeDefined()
  })

  test.each(['lru', 's3fifo'] as const)('%s: is never exceeded, and one is enough', async policy => {
    for (const maxEntries of [1, 2, 3, 10]) {
      const backend = memory({ maxEntries, policy })
      for (let index = 0; index < 50; index++) {
        backend.live.set(`${index}`, entry(index))
        expect(backend.live.get(`${index}`)).toBeDefined()
        if (index % 3 === 0) await backend.set(`bytes ${index}`, bytes('x'))
        expect((await keysOf(backend)).length).toBeLessThanOrEqual(maxEntries)
      }
      expect(await keysOf(backend)).toHaveLength(maxEntries)
    }
  })

  test('counts the entries of all namespaces together', async () => {
    const backend = memory({ maxEntries: 2 })
    const [a, b] = [backend.namespace('a'), backend.namespace('b')]
    await a.set('key', bytes('a'))
    await b.set('key', bytes('b'))
    await backend.set('key', bytes('root'))
    expect([await a.has('key'), await b.has('key'), await backend.has('key')]).toEqual([false, true, true])
  })
})

describe('policy lru', () => {
  test('evicts in the order of writing what nobody used', () => {
    const { live } = memory({ maxEntries: 3 })
    setAll(live, 'abcde')
    expect([...'abcde'].filter(key => live.get(key))).toEqual(['c', 'd', 'e'])
  })

  test.each<[string, (backend: InMemoryBackend) => unknown]>([
    ['get', backend => backend.get('a')],
    ['getMany', backend => backend.getMany(['a'])],
    ['getEntry', backend => backend.getEntry('a')],
    ['live.get', backend => backend.live.get('a')],
    ['set', backend => backend.set('a', bytes('2'))],
    ['live.set', backend => backend.live.set('a', entry(2))],
    ['live.swap', backend => backend.live.swap('a', backend.live.get('a'), entry(2))],
    ['compareAndSet', backend => backend.compareAndSet('a', bytes('1'), bytes('2'))],
    ['increment', backend => backend.increment('a')],
    ['touch', backend => backend.touch('a', { ttl: 1000 })],
  ])('%s is a use', async (_, use) => {
    const backend = memory({ maxEntries: 2 })
    await backend.set('a', bytes('1'))
    await backend.set('b', bytes('1'))
    await use(backend)
    await backend.set('c', bytes('1'))
    expect(await keysOf(backend)).toEqual(['a', 'c'])
  })

  test.each<[string, (backend: InMemoryBackend) => unknown]>([
    ['has', backend => backend.has('a')],
    ['keys', backend => keysOf(backend)],
  ])('%s is not', async (_, look) => {
    const backend = memory({ maxEntries: 2 })
    await backend.set('a', bytes('1'))
    await backend.set('b', bytes('1'))
    await look(backend)
    await backend.set('c', bytes('1'))
    expect(await keysOf(backend)).toEqual(['b', 'c'])
  })
})

describe('policy s3fifo', () => {
  test.each<InMemoryBackendOptions>([{ maxEntries: 100 }, { maxBytes: 100 }])(
    'lets what was used stay while a scan over many keys passes, with %j',
    limit => {
      const left = (policy: 'lru' | 's3fifo'): number => {
        const { live } = memory({ ...limit, policy })
        const popular = Array.from({ length: 50 }, (_, index) => `popular ${index}`)
        for (const key of popular) live.set(key, entry(key))
        for (const key of popular) live.get(key)
        for (let index = 0; index < 1000; index++) live.set(`once ${index}`, entry(index))
        return popular.filter(key => live.get(key)).length
      }
      expect(left('s3fifo')).toBe(50)
      expect(left('lru')).toBe(0)
    },
  )

  test('keeps what comes back soon after it was evicted, but not what comes back late', () => {
    const returns = (others: number): boolean => {
      const { live } = memory({ maxEntries: 100, policy: 's3fifo' })
      for (let index = 0; index < 100; index++) live.set(`first ${index}`, entry(index))
      live.set('one more', entry(0))
      expect(live.get('first 0')).toBeUndefined()
      for (let index = 0; index < others; index++) live.set(`other ${index}`, entry(index))
      live.set('first 0', entry('again'))
      for (let index = 0; index < 300; index++) live.set(`last ${index}`, entry(index))
      return live.get('first 0') !== undefined
    }
    expect(returns(0)).toBe(true)
    expect(returns(88)).toBe(true)
    expect(returns(90)).toBe(false)
  })

  test('remembers no key that was deleted or cleared, nor lists one that was evicted', async () => {
    const backend = memory({ maxEntries: 10, policy: 's3fifo' })
    setAll(backend.live, 'abcdefghijklm')
    expect(await keysOf(backend)).toEqual([...'defghijklm'])
    expect(await backend.delete('a')).toBe(false)
    expect(await backend.has('b')).toBe(false)
    expect(backend.live.swap('c', undefined, entry('c'))).toBe(true)
    await backend.clear()
    expect(await keysOf(backend)).toEqual([])
    setAll(backend.live, 'abcdefghij')
    expect(await keysOf(backend)).toEqual([...'abcdefghij'])
  })
})

describe.each(['lru', 's3fifo'] as const)('maxBytes with policy %s', policy => {
  test('makes room for what comes', async () => {
    const backend = memory({ maxBytes: 10, policy })
    for (const key of 'abcde') await backend.set(key, bytes('xx'))
    await backend.set('f', bytes('xxxxx'))
    expect(await keysOf(backend)).toEqual(['d', 'e', 'f'])
    await backend.set('g', bytes(''))
    expect(await keysOf(backend)).toEqual(['d', 'e', 'f', 'g'])
    await backend.set('h', bytes('x'.repeat(10)))
    expect(await backend.has('h')).toBe(true)
    expect(await backend.has('f')).toBe(false)
  })

  test('takes one value that fills it, whatever is there', async () => {
    const backend = memory({ maxBytes: 100, policy })
    await backend.set('small', bytes('x'))
    await backend.set('large', new Uint8Array(100))
    expect(await keysOf(backend)).toEqual(['large'])
  })

  test('a value that grows evicts others, not itself', async () => {
    for (const grown of 'abcd') {
      const backend = memory({ maxBytes: 8, policy })
      for (const key of 'abcd') await backend.set(key, bytes('xx'))
      await backend.set(grown, bytes('xxxxxxx'))
      expect(await keysOf(backend)).toEqual([grown])
      await backend.set(grown, bytes('x'))
      for (const key of 'efg') await backend.set(key, bytes('xx'))
      expect(await keysOf(backend)).toEqual([grown, 'e', 'f', 'g'])
    }
  })

  test('stays right through any mixture of calls', async () => {
    const maxBytes = 50
    const backend = memory({ maxBytes, maxEntries: 20, policy })
    const sizes = new Map<string, number>()
    let seed = 1
    const random = (below: number): number => {
      seed = (seed * 48_271) % 0x7fffffff
      return seed % below
    }
    for (let step = 0; step < 3000; step++) {
      const key = `${random(40)}`
      const size = random(12)
      if (random(10) === 0) await backend.delete(key)
      else if (random(500) === 0) await backend.clear()
      else {
        await backend.set(key, new Uint8Array(size))
        sizes.set(key, size)
      }
      const left = await keysOf(backend)
      expect(left.reduce((sum, kept) => sum + (sizes.get(kept) ?? Number.NaN), 0)).toBeLessThanOrEqual(maxBytes)
      expect(left.length).toBeLessThanOrEqual(20)
    }
    await backend.clear()
    for (let index = 0; index < 10; index++) await backend.set(`${index}`, new Uint8Array(5))
    expect(await keysOf(backend)).toHaveLength(10)
  })

  test('a cache hands out what is too large, but does not store it', async () => {
    const cache = createCache({ backend: memory({ maxBytes: 1000, policy }) })
    const loader = jest.fn(async () => 'x'.repeat(1001))
    expect(await cache.getOrSet('key', loader)).toHaveLength(1001)
    expect(await cache.getOrSet('key', loader)).toHaveLength(1001)
    expect(loader).toHaveBeenCalledTimes(2)
    await expect(cache.set('key', 'x'.repeat(1001))).rejects.toMatchObject({ code: 'CACHE_VALUE_TOO_LARGE' })
    expect(await cache.has('key')).toBe(false)
  })

  test('refuses what alone is too large, and leaves everything as it was', async () => {
    const backend = memory({ maxBytes: 4, policy })
    expect(backend.supports.maxValueBytes).toBe(4)
    await backend.set('a', bytes('aa'))
    await backend.set('b', bytes('bb'))
    expect(await codeOf(() => backend.set('a', bytes('xxxxx')))).toBe('CACHE_VALUE_TOO_LARGE')
    expect(await codeOf(() => backend.live.set('a', entry('x', { size: 5 })))).toBe('CACHE_VALUE_TOO_LARGE')
    expect(await codeOf(() => backend.live.swap('c', undefined, entry('x', { size: 5 })))).toBe('CACHE_VALUE_TOO_LARGE')
    expect((await backend.getMany(['a', 'b', 'c'])).map(text)).toEqual(['aa', 'bb', undefined])
    expect(() => backend.live.set('a', entry('x', { size: 5 }))).toThrow(
      expect.objectContaining({ backend: 'memory', operation: 'set', outcome: 'not-applied' }),
    )
  })
})

describe('sizeOf', () => {
  test('gets the value itself and the key, or the bytes of what was stored as bytes', async () => {
    const seen: unknown[] = []
    const backend = memory({ maxBytes: 10, sizeOf: (value, key) => seen.push([value, key]) })
    const value = { a: 1 }
    backend.namespace('n').live?.set('@key', entry(value))
    await backend.set('bytes', bytes('abc'))
    expect(seen).toEqual([
      [value, '@key'],
      [bytes('abc'), 'bytes'],
    ])
  })

  test('gets what a cache stores, and is not asked about what the cache stores for itself', async () => {
    const seen: unknown[] = []
    const cache = createCache({ backend: memory({ maxBytes: 10, sizeOf: (value, key) => seen.push([value, key]) }) })
    await cache.set('key', { a: 1 }, { tags: ['tag'] })
    await cache.set('nothing', undefined)
    expect(seen).toEqual([[{ a: 1 }, 'key']])
  })

  test('counts instead of the length; fractions are rounded up', async () => {
    const backend = memory({ maxBytes: 10, sizeOf: value => (value as Uint8Array).length / 10 })
    for (let index = 0; index < 11; index++) await backend.set(`${index}`, bytes('abc'))
    expect(await keysOf(backend)).toHaveLength(10)
  })

  test.each<[string, () => unknown]>([
    ['0', () => 0],
    ['a negative number', () => -1],
    ['NaN', () => Number.NaN],
    ['no number', () => '7'],
    ['nothing', () => undefined],
    [
      'an error',
      () => {
        throw new Error('no size')
      },
    ],
  ])('that gives %s refuses the write, in both views, and changes nothing', async (_, answer) => {
    let broken = false
    const sizeOf = () => (broken ? (answer() as number) : 1)
    const backend = memory({ maxBytes: 2, sizeOf })
    await backend.set('a', bytes('1'))
    broken = true
    const rejected = await backend.set('a', bytes('2')).catch((error: unknown) => error)
    expect(rejected).toMatchObject({ code: 'CACHE_INVALID_ARGUMENT', outcome: 'not-applied' })
    expect((rejected as Error).message).toContain('sizeOf')
    expect(await codeOf(() => backend.live.set('a', entry(2)))).toBe('CACHE_INVALID_ARGUMENT')
    expect(text(await backend.get('a'))).toBe('1')
    broken = false
    await backend.set('b', bytes('b'))
    expect(await keysOf(backend)).toEqual(['a', 'b'])
  })

  test('if there is none, a live entry has to know its own size', async () => {
    const { live } = memory({ maxBytes: 10 })
    for (const size of [Number.NaN, -1]) {
      expect(await codeOf(() => live.set('a', entry('x', { size })))).toBe('CACHE_INVALID_ARGUMENT')
    }
  })

  test('of a batch names the keys that it refused', async () => {
    const backend = memory({ maxBytes: 100, sizeOf: (_, key) => (key === 'bad' ? 0 : 1) })
    const call = backend.setMany([
      ['good', bytes('1')],
      ['bad', bytes('2')],
    ])
    await expect(call).rejects.toMatchObject({ code: 'CACHE_BATCH_FAILED', keys: ['bad'] })
    expect(await keysOf(backend)).toEqual(['good'])
  })
})

describe.each(['lru', 's3fifo'] as const)('expiry with policy %s', policy => {
  test('what has expired leaves before anything else, however lately it was used', async () => {
    let now = 1000
    const backend = memory({ maxEntries: 3, policy, sweep: false, now: () => now })
    for (const [key, ttl] of [['a'], ['b', 10], ['c']] as const) await backend.set(key, bytes(key), { ttl })
    for (let times = 0; times < 3; times++) await backend.get('b')
    now = 1010
    await backend.set('d', bytes('d'))
    expect(await keysOf(backend)).toEqual(['a', 'c', 'd'])
    now = 1000 // Were it still there, it would be alive again.
    expect(await backend.has('b')).toBe(false)
  })

  test('all that has expired leaves first, in the order of deadlines, through replaced and deleted ones', async () => {
    let now = 0
    const backend = memory({ maxEntries: 200, policy, sweep: false, now: () => now })
    for (let index = 0; index < 100; index++) {
      await backend.set(`expires ${index}`, bytes('x'), { ttl: 1 + ((index * 37) % 100) })
    }
    for (let index = 0; index < 100; index += 4) await backend.set(`expires ${index}`, bytes('stays'))
    for (let index = 1; index < 100; index += 4) await backend.delete(`expires ${index}`)
    for (let index = 2; index < 100; index += 4) await backend.touch(`expires ${index}`, { ttl: 5000 })
    for (let index = 0; index < 125; index++) await backend.set(`new ${index}`, bytes('x'))
    now = 1000
    expect((await keysOf(backend)).length).toBe(175)
    for (let index = 0; index < 25; index++) await backend.set(`more ${index}`, bytes('x'))
    expect((await keysOf(backend)).length).toBe(200)
    await backend.set('too many', bytes('x'))
    expect((await keysOf(backend)).length).toBe(200)
  })

  test('is by the clock of the options, in both views and on every path', async () => {
    let now = 0
    const backend = memory({ policy, now: () => now })
    const { live } = backend
    const first = entry('live', { expiresAt: live.now() + 10 })
    live.set('live', first)
    await backend.set('bytes', bytes('x'), { ttl: 10 })
    now = 9
    expect(live.get('live')).toBe(first)
    expect(live.get('bytes')).toEqual({ value: bytes('x'), expiresAt: 10 })
    now = 10
    for (const key of ['live', 'bytes']) {
      expect(live.get(key)).toBeUndefined()
      expect(await backend.get(key)).toBeUndefined()
      expect(await backend.has(key)).toBe(false)
    }
    expect(live.swap('live', first, entry('other'))).toBe(false)
    expect(live.swap('live', undefined, entry('new'))).toBe(true)
    expect(live.get('live')?.value).toBe('new')
  })

  test.each([0, 999, 1_767_225_600_000, 1_767_225_600_000.5, 5_000_000_000_000, -5000])(
    'is exact to the millisecond when the clock says %d',
    start => {
      let now = start
      const { live } = memory({ policy, sweep: false, now: () => now })
      for (const ttl of [0.25, 1, 1999, 2000, 2001, 4000, 5001, 315_360_000_000]) {
        now = start
        live.set('key', entry('value', { expiresAt: start + ttl }))
        for (const time of [start, start + ttl / 2, start + ttl - 0.125]) {
          now = time
          expect(live.get('key')?.value).toBe('value')
        }
        now = start + ttl
        expect(live.get('key')).toBeUndefined()
      }
    },
  )

  test('asks the clock for entries that have a deadline, and once for each', async () => {
    const clock = jest.fn(() => 1_767_225_600_000)
    const { live } = memory({ policy, sweep: false, now: clock })
    live.set('for ever', entry('value'))
    live.set('for a time', entry('value', { expiresAt: 1_767_225_600_001 }))
    const asked = (key: string): number => {
      clock.mockClear()
      expect(live.get(key)?.value).toBe('value')
      return clock.mock.calls.length
    }
    expect([asked('for ever'), asked('for a time')]).toEqual([0, 1])
  })
})

describe('sweep', () => {
  /** Whether `key` is still stored: with the clock turned back, an expired entry that is there would be seen. */
  const stored = (live: LiveStore, clock: { now: number }, key: string): boolean => {
    const { now } = clock
    clock.now = 0
    const found = live.get(key) !== undefined
    clock.now = now
    return found
  }

  test('removes what has expired about every interval, and nothing else', async () => {
    jest.useFakeTimers()
    const clock = { now: 0 }
    const { live } = memory({ sweep: { interval: 100 }, now: () => clock.now })
    live.set('a', entry('a', { expiresAt: 50 }))
    live.set('b', entry('b', { expiresAt: 51 }))
    live.set('c', entry('c'))
    live.set('rewritten', entry('old', { expiresAt: 50 }))
    live.set('rewritten', entry('new', { expiresAt: 1000 }))
    clock.now = 50
    jest.advanceTimersByTime(89)
    expect(stored(live, clock, 'a')).toBe(true)
    jest.advanceTimersByTime(21)
    expect(['a', 'b', 'c', 'rewritten'].filter(key => stored(live, clock, key))).toEqual(['b', 'c', 'rewritten'])
    expect(live.get('rewritten')?.value).toBe('new')
    clock.now = 51
    jest.advanceTimersByTime(111)
    expect(stored(live, clock, 'b')).toBe(false)
  })

  test('works in batches, with time for others between', () => {
    jest.useFakeTimers()
    const clock = { now: 0 }
    const { live } = memory({ sweep: { interval: 100, batchSize: 2 }, now: () => clock.now })
    setAll(live, 'x')
    for (const key of 'abcde') live.set(key, entry(key, { expiresAt: 1 }))
    clock.now = 1
    const left = (): number => [...'abcde'].filter(key => stored(live, clock, key)).length
    jest.advanceTimersToNextTimer()
    expect(left()).toBe(3)
    jest.advanceTimersToNextTimer()
    expect(left()).toBe(1)
    jest.advanceTimersToNextTimer()
    expect(left()).toBe(0)
    expect(jest.getTimerCount()).toBe(0)
  })

  test('has a timer only while something can expire, and the backend is open', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] })
    const clock = { now: 0 }
    const backend = memory({ sweep: { interval: 100 }, now: () => clock.now })
    const { live } = backend
    setAll(live, 'ab')
    expect(jest.getTimerCount()).toBe(0)
    live.set('c', entry('c', { expiresAt: 1 }))
    live.set('d', entry('d', { expiresAt: 1 }))
    expect(jest.getTimerCount()).toBe(1)
    clock.now = 1
    jest.advanceTimersByTime(110)
    expect(jest.getTimerCount()).toBe(0)
    live.set('e', entry('e', { expiresAt: 1000 }))
    live.swap('e', live.get('e'), undefined)
    jest.advanceTimersByTime(110)
    expect(jest.getTimerCount()).toBe(0)
    live.set('f', entry('f', { expiresAt: 1000 }))
    expect(jest.getTimerCount()).toBe(1)
    await backend.close()
    expect(jest.getTimerCount()).toBe(0)
  })

  test('can be turned off', () => {
    jest.useFakeTimers()
    const clock = { now: 0 }
    const { live } = memory({ sweep: false, now: () => clock.now })
    live.set('a', entry('a', { expiresAt: 1 }))
    clock.now = 1
    expect(jest.getTimerCount()).toBe(0)
    jest.advanceTimersByTime(1_000_000)
    expect(stored(live, clock, 'a')).toBe(true)
  })

  test('does not keep the process alive', async () => {
    const script = `
      const { InMemoryBackend } = await import('@cachekit/memory')
      const backend = new InMemoryBackend({ sweep: { interval: 60_000 } })
      await backend.set('a', new Uint8Array(1), { ttl: 1_000_000 })
      process.stdout.write('done')`
    const child = spawn(process.execPath, ['--conditions=@cachekit/source', '--input-type=module', '-e', script], {
      cwd: __dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', chunk => {
      output += chunk
    })
    const timer = setTimeout(() => child.kill(), 30_000)
    const [code] = await once(child, 'exit')
    clearTimeout(timer)
    expect([output, code]).toEqual(['done', 0])
  }, 40_000)
})

describe('the two views', () => {
  test('bytes read a live entry as it encodes itself, then and only then', async () => {
    const backend = memory()
    const live = entry({ a: 1 })
    backend.live.set('key', live)
    expect(await backend.has('key')).toBe(true)
    expect(await backend.add('key', bytes('other'))).toBe(false)
    expect(await keysOf(backend)).toEqual(['key'])
    expect(backend.live.get('key')).toBe(live)
    expect(live.encoded).toBe(0)
    expect(text(await backend.get('key'))).toBe('{"a":1}')
    expect(text((await backend.getMany(['key']))[0])).toBe('{"a":1}')
    expect(live.encoded).toBe(2)
    expect(await backend.compareAndDelete('key', bytes('{"a":1}'))).toBe(true)
    expect(backend.live.get('key')).toBeUndefined()
  })

  test('an entry that cannot be encoded rejects as bytes, and can be looked for and deleted all the same', async () => {
    const backend = memory({ isolation: 'share' })
    const failure = new Error('not to be encoded')
    backend.live.set('key', {
      ...entry(() => 1),
      encode() {
        throw failure
      },
    })
    await expect(backend.get('key')).rejects.toMatchObject({ code: 'CACHE_BACKEND_FAILED', cause: failure })
    expect(await backend.has('key')).toBe(true)
    expect(await backend.delete('key')).toBe(true)
    expect(await backend.has('key')).toBe(false)
  })

  test('live entries are handed out as they are; bytes as the record that was stored', async () => {
    const backend = memory()
    const live = entry('live')
    backend.live.set('key', live)
    expect(backend.live.get('key')).toBe(live)
    await backend.set('key', bytes('stored'))
    expect(backend.live.get('key')).toEqual({ value: bytes('stored'), expiresAt: undefined })
    backend.live.set('key', live)
    expect(text(await backend.get('key'))).toBe('"live"')
  })

  test('a buffer that was read is not the stored one, nor that of a live entry which keeps its own', async () => {
    const backend = memory()
    const own = bytes('own')
    backend.live.set('live', { ...entry('x'), encode: () => own })
    await backend.set('bytes', bytes('own'))
    for (const key of ['live', 'bytes']) {
      const read = [await backend.get(key), (await backend.getEntry(key))?.value, ...(await backend.getMany([key]))]
      for (const value of read) value?.fill(0)
      expect(text(await backend.get(key))).toBe('own')
    }
    expect(text(own)).toBe('own')
  })

  test('counters and new lifetimes work on live entries', async () => {
    const backend = memory({ now: () => 5 })
    backend.live.set('n', entry(41))
    expect(await backend.increment('n')).toBe(42)
    expect(backend.live.get('n')).toEqual({ value: bytes('42'), expiresAt: undefined })
    backend.live.set('t', entry('value'))
    expect(await backend.touch('t', { ttl: 10 })).toBe(true)
    expect(backend.live.get('t')).toEqual({ value: bytes('"value"'), expiresAt: 15 })
  })

  test('bytes that are part of a larger buffer do not keep all of it', async () => {
    const backend = memory()
    await backend.increment('n', 7)
    const { value } = backend.live.get('n') as StoredEntry
    expect(value.buffer.byteLength).toBe(1)
  })

  test('share the keys as users write them', async () => {
    const backend = memory()
    for (const key of ['@key', '@@key', '@#key', 'a:b', '@a:b', 'plain']) {
      backend.live.set(key, entry(key))
      expect(text(await backend.get(key))).toBe(JSON.stringify(key))
      await backend.set(key, bytes(key))
      expect(backend.live.get(key)?.value).toEqual(bytes(key))
    }
    expect(await keysOf(backend)).toEqual(['@#key', '@@key', '@a:b', '@key', 'a:b', 'plain'])
    expect(await keysOf(backend.namespace('a'))).toEqual([])
  })

  test('a cache does not take one record for another where keys start with ~', async () => {
    const cache = createCache<string>({ backend: memory({ isolation: 'share' }) })
    const keys = ['~', '~~', '~~~', '~t:x', '~~t:x', 'x']
    await cache.set('x', 'x', { tags: ['x'] })
    for (const key of keys) expect(await cache.getOrSet(key, ({ key }) => key)).toBe(key)
    for (const key of keys) expect([key, await cache.get(key)]).toEqual([key, key])
    await cache.delete('~~')
    expect([await cache.get('~~'), await cache.get('~'), await cache.get('~~~')]).toEqual([undefined, '~', '~~~'])
  })

  test.each(['clone', 'share'] as const)('a hit of a cache is answered at once (isolation: %s)', async isolation => {
    const cache = createCache({ backend: memory({ isolation }) })
    await cache.set('k', { a: 1 })
    for (const call of [() => cache.get('k'), () => cache.getOrSet('k', () => 'loaded')]) {
      let answer: unknown
      const called = call().then(value => {
        answer = value
      })
      await null // one turn of the queue of microtasks: a promise on the way would take another
      expect(answer).toEqual({ a: 1 })
      await called
    }
  })

  test('views of one namespace stay one, however often it was empty', async () => {
    const backend = memory()
    const [one, two] = [backend.namespace('a').live as LiveStore, backend.namespace('a').live as LiveStore]
    const check = async (writer: LiveStore, reader: LiveStore): Promise<void> => {
      const value = entry('value')
      writer.set('key', value)
      expect(reader.get('key')).toBe(value)
      expect(await backend.namespace('a').has('key')).toBe(true)
    }
    await check(one, two)
    await backend.namespace('a').clear()
    await check(two, one)
    expect(one.swap('key', one.get('key'), undefined)).toBe(true)
    await backend.namespace('a').set('other', bytes('x'))
    expect(two.get('other')).toBeDefined()
    await check(one, two)
  })

  test('clear() empties the namespaces made from its own, and no others, in both', async () => {
    const backend = memory()
    const users = backend.namespace('users')
    const names = ['users', 'users2', 'user', 'Users', 'users%', 'users*']
    const lives = names.map(name => backend.namespace(name).live as LiveStore)
    const child = users.namespace('admins').live as LiveStore
    for (const live of [...lives, child, backend.live]) live.set('key', entry('value'))
    await users.clear()
    expect(names.filter((_, index) => lives[index]?.get('key'))).toEqual(names.slice(1))
    expect(child.get('key')).toBeUndefined()
    expect(backend.live.get('key')).toBeDefined()
    await backend.clear()
    expect([...lives, backend.live].filter(live => live.get('key'))).toEqual([])
  })

  test('live calls throw CACHE_CLOSED once the backend or the namespace is closed', async () => {
    const backend = memory()
    const names = backend.namespace('names')
    const [inner, outer] = [names.live as LiveStore, backend.live]
    outer.set('key', entry(1))
    await names.close()
    expect(await codeOf(() => inner.get('key'))).toBe('CACHE_CLOSED')
    expect(outer.get('key')?.value).toBe(1)
    await backend.close()
    expect(await codeOf(() => outer.get('key'))).toBe('CACHE_CLOSED')
    expect(await codeOf(() => outer.set('key', entry(1)))).toBe('CACHE_CLOSED')
    expect(await codeOf(() => outer.swap('key', undefined, entry(1)))).toBe('CACHE_CLOSED')
  })
})

describe('live.swap', () => {
  test('goes by identity, not by what is equal', () => {
    const { live } = memory()
    const [first, second] = [entry('same'), entry('same')]
    expect(live.swap('key', first, second)).toBe(false)
    expect(live.swap('key', undefined, first)).toBe(true)
    expect(live.swap('key', undefined, second)).toBe(false)
    expect(live.swap('key', second, undefined)).toBe(false)
    expect(live.get('key')).toBe(first)
    expect(live.swap('key', first, second)).toBe(true)
    expect(live.get('key')).toBe(second)
    expect(live.swap('key', second, undefined)).toBe(true)
    expect(live.get('key')).toBeUndefined()
    expect(live.swap('key', undefined, undefined)).toBe(true)
  })

  test('takes the record of bytes for what it is', async () => {
    const backend = memory()
    await backend.set('key', bytes('old'))
    const record = backend.live.get('key')
    await backend.set('key', bytes('old'))
    expect(backend.live.swap('key', record, entry('new'))).toBe(false)
    expect(backend.live.swap('key', backend.live.get('key'), entry('new'))).toBe(true)
    expect(backend.live.get('key')?.value).toBe('new')
  })

  test('a write of bytes that was based on an entry replaced meanwhile starts anew', async () => {
    const backend = memory()
    backend.live.set('n', entry(1))
    const sum = backend.increment('n')
    backend.live.set('n', entry(10))
    expect(await sum).toBe(11)
  })
})

describe('memory', () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const heapUsed = (): number => {
    collectGarbage()
    return process.memoryUsage().heapUsed
  }
  /** Megabytes that `work` leaves behind, the second time: the first one warms up. */
  const growth = async (work: () => unknown): Promise<number> => {
    await work()
    const before = heapUsed()
    await work()
    return (heapUsed() - before) / 1e6
  }

  test.each(['lru', 's3fifo'] as const)('%s: stays flat through a million writes of one key', async policy => {
    const { live } = memory({ policy })
    const grown = await growth(() => {
      for (let index = 0; index < 1_000_000; index++) live.set('key', entry(index, { expiresAt: 1e15 + index }))
    })
    expect(grown).toBeLessThan(1)
  })

  test.each(['lru', 's3fifo'] as const)('%s: stays flat through a million keys', async policy => {
    const { live } = memory({ policy, maxEntries: 1000 })
    let key = 0
    const grown = await growth(() => {
      for (let count = 0; count < 1_000_000; count++, key++) live.set(`${key}`, entry(key, { expiresAt: 1e15 + key }))
    })
    expect(grown).toBeLessThan(1)
  })

  test.each(['lru', 's3fifo'] as const)('%s: namespaces that were used once leave nothing behind', async policy => {
    const backend = memory({ policy, maxEntries: 100 })
    let name = 0
    const grown = await growth(() => {
      for (let count = 0; count < 50_000; count++, name++) backend.namespace(`${name}`).live?.set('key', entry(name))
    })
    expect(grown).toBeLessThan(1)
  })
})

describe('keys()', () => {
  test('gives what is there at the start and still there when its turn comes, once', async () => {
    let now = 0
    const backend = memory({ now: () => now })
    for (const key of 'abcdef') await backend.set(key, bytes(key), { ttl: key === 'e' ? 10 : 100 })
    const keys = backend.keys()[Symbol.asyncIterator]()
    expect((await keys.next()).value).toBe('a')
    await backend.delete('a')
    await backend.set('a', bytes('again'))
    await backend.delete('b')
    await backend.set('new', bytes('new'))
    now = 10
    const rest: string[] = []
    for (let next = await keys.next(); !next.done; next = await keys.next()) rest.push(next.value)
    expect(rest).toEqual(['c', 'd', 'f'])
  })
})

describe('a large namespace', () => {
  test('is cleared a bit at a time, and other work goes on', async () => {
    const backend = memory({ maxEntries: 20_000 })
    for (let index = 0; index < 20_000; index++) backend.live.set(`${index}`, entry(index))
    let turns = 0
    let counter = setImmediate(function count() {
      turns++
      counter = setImmediate(count)
    })
    await backend.clear()
    clearImmediate(counter)
    expect(turns).toBeGreaterThan(10)
    expect(await keysOf(backend)).toEqual([])
  })

  test('clear() ends while others write all the time', async () => {
    const backend = memory({ maxEntries: 100_000 })
    for (let index = 0; index < 5000; index++) backend.live.set(`${index}`, entry(index))
    let written = 0
    const writer = setInterval(() => {
      for (let count = 0; count < 5000; count++) backend.live.set(`new ${written++}`, entry(0))
    }, 0)
    try {
      await backend.clear()
    } finally {
      clearInterval(writer)
    }
    expect(backend.live.get('0')).toBeUndefined()
    expect(backend.live.get('4999')).toBeUndefined()
  })
})

describe('options', () => {
  test.each<[string, unknown, string]>([
    ['maxEntries', 0, '0'],
    ['maxEntries', -1, '-1'],
    ['maxEntries', 1.5, '1.5'],
    ['maxEntries', Number.NaN, 'NaN'],
    ['maxEntries', Number.POSITIVE_INFINITY, 'Infinity'],
    ['maxEntries', '100', '"100"'],
    ['maxBytes', 0, '0'],
    ['maxBytes', null, 'null'],
    ['policy', 'lfu', '"lfu"'],
    ['policy', null, 'null'],
    ['isolation', 'copy', '"copy"'],
    ['sizeOf', 7, '7'],
    ['sizeOf', () => 1, 'maxBytes'],
    ['sweep', true, 'true'],
    ['sweep', null, 'null'],
    ['sweep', { interval: 0 }, '0'],
    ['sweep', { interval: 2 ** 31 }, '2147483648'],
    ['sweep', { batchSize: 0 }, '0'],
    ['namespace', '', '""'],
    ['timeout', -1, '-1'],
  ])('%s: %p is refused, and the message says why', (option, value, mentioned) => {
    const create = () => new InMemoryBackend({ [option]: value } as InMemoryBackendOptions)
    expect(create).toThrow(expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }))
    expect(create).toThrow(option)
    expect(create).toThrow(mentioned)
  })

  test('say what the live view does about isolation', () => {
    expect(memory().live.isolation).toBe('clone')
    expect(memory({ isolation: 'share' }).namespace('a').live?.isolation).toBe('share')
  })

  test('decide what the backend supports', () => {
    const supports = { clock: 'caller', persistent: false, shared: false, evicts: true, iteration: true }
    expect(memory().supports).toEqual({ ...supports, maxValueBytes: 512 * 1024 * 1024 })
    expect(memory({ maxBytes: 1000 }).supports).toEqual({ ...supports, maxValueBytes: 1000 })
  })
})
