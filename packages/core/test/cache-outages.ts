// What a cache promises while its store is away and after that; for each backend's own tests.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cache, type CacheBackend, CacheError, type CacheOptions, createCache } from '@cachekit/core'
import { FaultProxy, type Server } from '@cachekit/testing'
import { recovery, worksAgain } from './outages.ts'

export interface Store {
  /** Starts a server of its own. */
  start(): Promise<Server>
  /** A backend with default options but for its namespace. */
  open(address: { readonly host: string; readonly port: number }, namespace: string): CacheBackend
  /** Resolves once a server that has started serves as it will from then on. */
  ready?(server: Server): Promise<void>
  /** Whether the server still has its data after it was killed. Default: false. */
  readonly keepsData?: boolean
}

/** Milliseconds until the first answer of `getOrSet`, and until each once the store is not asked any more. */
const limits = { first: 1000, open: 50 }
/** For how many milliseconds something is watched that must not change. */
const watched = 500

interface Loader {
  (): Promise<string>
  /** Resolves when it is called. */
  readonly called: Promise<void>
  end(): void
}

/** A loader that ends when it is told to. */
function loaderOf(value: string): Loader {
  const [called, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()]
  const load = (): Promise<string> => {
    called.resolve()
    return ended.promise
  }
  return Object.assign(load, { called: called.promise, end: () => ended.resolve(value) })
}

/** The cases, for `describe`. They share one server. */
export function cacheOutageCases({ start, open, ready = async () => {}, keepsData = false }: Store): void {
  let server: Server
  let namespace: string
  const opened: { close(): Promise<unknown> }[] = []
  beforeAll(async () => {
    server = await start()
    await ready(server)
  }, 120_000)
  afterAll(() => server.close(), 30_000)
  beforeEach(() => {
    namespace = `outage ${Math.random()}`
  })
  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each.close()
  }, 30_000)

  /** A cache like one of another process. It is connected. */
  async function client(options: Partial<CacheOptions<unknown>> = {}, address = server): Promise<Cache<string>> {
    const cache = createCache<string>({
      backend: open(address, namespace),
      ttl: '1m',
      ...options,
    } as CacheOptions<string>)
    opened.push(cache)
    await worksAgain(() => cache.set('warm', 'warm'), 20_000)
    await cache.getOrSet('warm up', () => 'loaded', { tags: ['tag'] })
    expect(await cache.get('warm up')).toBe('loaded')
    return cache
  }

  /** The answer of `getOrSet`, which must come in time. */
  async function inTime(cache: Cache<string>, key: string, limit: number): Promise<number> {
    const start = performance.now()
    expect(await cache.getOrSet(key, () => `loaded ${key}`)).toBe(`loaded ${key}`)
    const duration = performance.now() - start
    expect(duration).toBeLessThan(limit)
    return duration
  }

  /** Waits until the cache stores what it loads, as another client sees. */
  async function storesAgain(cache: Cache<string>, other: Cache<string>): Promise<void> {
    const end = performance.now() + recovery
    for (let round = 0; ; round++) {
      const key = `again ${round}`
      expect(await cache.getOrSet(key, () => key)).toBe(key)
      if ((await other.get(key).catch(() => undefined)) === key) return
      if (performance.now() > end) throw new Error(`Nothing was stored within ${recovery} ms.`)
      await sleep(20)
    }
  }

  /** Fails unless this is what the store keeps under the key. */
  async function keeps(other: Cache<string>, key: string, value: string | undefined): Promise<void> {
    for (const end = performance.now() + watched; performance.now() < end; await sleep(20)) {
      expect(await worksAgain(() => other.get(key))).toBe(value)
    }
  }

  async function back(): Promise<void> {
    await server.restart()
    await ready(server)
  }

  describe.each<[string, () => Promise<void>, () => Promise<void>]>([
    ['killed', () => server.kill(), back],
    ['frozen', () => server.freeze(), () => server.resume()],
  ])('a server that is %s', (_what, hurt, heal) => {
    test('costs the first call less than a second, and none much once the breaker is open', async () => {
      const cache = await client()
      await hurt()
      try {
        await inTime(cache, 'first', limits.first)
        for (let call = 0; call < 5; call++) await inTime(cache, `next ${call}`, limits.first)
        const durations: number[] = []
        for (let call = 0; call < 20; call++) durations.push(await inTime(cache, `open ${call}`, limits.first))
        // Not each of them: a busy machine lets anybody wait.
        expect(durations.sort((a, b) => a - b)[10]).toBeLessThan(limits.open)
      } finally {
        await heal()
      }
      await storesAgain(cache, await client())
    }, 60_000)

    test('makes direct calls reject, and none of them lies', async () => {
      const cache = await client()
      const loadOrMiss = await client({ onStoreFailure: 'load-or-miss' })
      const reject = await client({ onStoreFailure: 'reject' })
      await hurt()
      try {
        const calls: Record<string, Promise<unknown>> = {
          get: cache.get('warm'),
          set: cache.set('warm', 'new'),
          delete: cache.delete('warm'),
          deleteByTag: cache.deleteByTag('tag'),
          'set, load-or-miss': loadOrMiss.set('warm', 'new'),
          'delete, load-or-miss': loadOrMiss.delete('warm'),
          'getOrSet, reject': reject.getOrSet('new', () => 'loaded'),
          'get, reject': reject.get('warm'),
        }
        const code = (error: unknown): unknown => error instanceof CacheError && error.code
        const settled = await Promise.all(
          Object.values(calls).map(call => call.then(value => `answered ${value}`, code)),
        )
        const outage = expect.stringMatching(/^CACHE_(UNAVAILABLE|TIMEOUT)$/)
        expect(Object.fromEntries(Object.keys(calls).map((name, index) => [name, settled[index]]))).toEqual(
          Object.fromEntries(Object.keys(calls).map(name => [name, outage])),
        )
        expect(await loadOrMiss.get('warm')).toBeUndefined()
        expect(await loadOrMiss.getOrSet('new', () => 'loaded')).toBe('loaded')
        expect(await cache.getOrSet('new', () => 'loaded')).toBe('loaded')
      } finally {
        await heal()
      }
      expect(await worksAgain(() => reject.getOrSet('new', () => 'loaded again'))).toMatch(/^loaded/)
    }, 60_000)

    test('never gets a value that was loaded meanwhile over a newer one', async () => {
      const [cache, other] = [await client(), await client()]
      const load = loaderOf('old')
      await hurt()
      const answer = cache.getOrSet('k', load)
      await load.called
      await heal()
      await worksAgain(() => other.set('k', 'new'), 5000)
      await storesAgain(cache, other)
      // Who asks now gets the newer one, although the load still runs.
      expect(await cache.getOrSet('k', () => 'unused')).toBe('new')
      load.end()
      expect(await answer).toBe('old')
      await keeps(other, 'k', 'new')
      expect(await cache.get('k')).toBe('new')
    }, 60_000)
  })

  test.each<[string, (other: Cache<string>) => Promise<unknown>, string | undefined]>([
    ['set', other => other.set('k', 'new'), 'new'],
    ['deleted', other => other.delete('k'), undefined],
    ['deleted by its tag', other => other.deleteByTag('tag'), undefined],
  ])(
    'a value that is being stored when the server freezes, after another client %s, stays away',
    async (_what, invalidate, left) => {
      const [cache, other] = [await client(), await client()]
      const load = loaderOf('old')
      const answer = cache.getOrSet('k', load, { tags: ['tag'] })
      await load.called
      await invalidate(other)
      await server.freeze()
      load.end()
      expect(await answer).toBe('old')
      await server.resume()
      await keeps(other, 'k', left)
    },
    60_000,
  )

  test('a value that is being stored when the server freezes does not replace what is written when it is back', async () => {
    const [cache, other] = [await client(), await client()]
    const load = loaderOf('old')
    const answer = cache.getOrSet('k', load)
    await load.called
    await server.freeze()
    load.end()
    expect(await answer).toBe('old')
    await server.resume()
    await worksAgain(() => other.set('k', 'new'))
    await keeps(other, 'k', 'new')
    expect(await worksAgain(() => cache.get('k'))).toBe('new')
  }, 60_000)

  test('a lease that ends while the server is frozen is lost: another client loads, and its value stays', async () => {
    const lease = { ttl: 1000 }
    const [cache, other] = [await client({ lease }), await client({ lease })]
    const load = loaderOf('old')
    const answer = cache.getOrSet('k', load)
    await load.called
    await server.freeze()
    await sleep(1500)
    await server.resume()
    expect(await worksAgain(() => other.getOrSet('k', () => 'new'))).toBe('new')
    await storesAgain(other, cache)
    const stored = await other.get('k')
    load.end()
    expect(await answer).toBe('old')
    // Where the first client renewed its lease in time after all, the second one's value was not stored.
    await keeps(other, 'k', stored ?? 'old')
  }, 60_000)

  test('a store that comes back with what it had before goes on from there', async () => {
    const [cache, other] = [await client(), await client()]
    await cache.getOrSet('k', () => 'first', { tags: ['tag'] })
    await server.kill()
    await expect(cache.delete('k')).rejects.toMatchObject({ retryable: true })
    await expect(cache.deleteByTag('tag')).rejects.toMatchObject({ retryable: true })
    await back()
    const found = await worksAgain(() => other.get('k'), 5000)
    expect(found).toBe(keepsData ? 'first' : undefined)
    await worksAgain(() => cache.deleteByTag('tag'))
    expect(await other.get('k')).toBeUndefined()
    expect(await cache.getOrSet('k', () => 'second', { tags: ['tag'] })).toBe('second')
    expect(await other.get('k')).toBe('second')
  }, 60_000)

  test('a store that is slower than the patience of the cache costs less than a second', async () => {
    const proxy = await FaultProxy.start(server)
    opened.push(proxy)
    const address = Object.assign(Object.create(server), { host: proxy.host, port: proxy.port })
    const [cache, other] = [await client({}, address), await client()]
    await proxy.inject({ delay: 800 })
    for (let call = 0; call < 8; call++) await inTime(cache, `slow ${call}`, limits.first)
    const load = loaderOf('old')
    const answer = cache.getOrSet('k', load)
    await load.called
    await other.set('k', 'new')
    load.end()
    await answer
    await proxy.heal()
    await keeps(other, 'k', 'new')
    await storesAgain(cache, other)
    expect(await cache.get('k')).toBe('new')
  }, 60_000)
}
