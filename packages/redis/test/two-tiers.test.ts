import { setTimeout as sleep } from 'node:timers/promises'
import { type Cache, type CacheOptions, createCache } from '@cachekit/core'
import { describeService, type Server, startServer } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { InMemoryBackend } from '../../memory/src/index.ts'
import { RedisBackend, RedisBus } from '../src/index.ts'

// What a local tier promises is proven in core; here is what the real bus adds: latency, and what happens when it breaks.

describeService('redis', () => {
  let server: Server
  let watcher: Redis
  const caches: Cache[] = []

  /** A cache with two tiers, as another process would have, connected. */
  async function open(options: Partial<CacheOptions<unknown>> = {}): Promise<Cache> {
    const { url } = server
    const cache = createCache({
      backend: new RedisBackend({ url }),
      local: new InMemoryBackend(),
      bus: new RedisBus({ url }),
      localTtl: '1h',
      breaker: false,
      ...options,
    })
    caches.push(cache)
    await cache.open()
    return cache
  }

  /** How many commands read the key, by the server's own count. */
  async function reads(): Promise<number> {
    const counts = (await watcher.info('commandstats')).matchAll(/cmdstat_m?get:calls=(\d+)/g)
    return Array.from(counts, ([, calls]) => Number(calls)).reduce((sum, calls) => sum + calls, 0)
  }

  /** Milliseconds until the cache answers the value. */
  async function answers(cache: Cache, value: unknown, patience: number): Promise<number> {
    const start = performance.now()
    for (;;) {
      const found = await cache.get('key').catch(() => 'failed')
      const duration = performance.now() - start
      if (found === value) return duration
      if (duration > patience) throw new Error(`Still ${found} after ${patience} ms`)
      await sleep(1)
    }
  }

  beforeEach(async () => {
    server = await startServer('redis')
    watcher = new Redis(server.url)
    watcher.on('error', () => {})
  })

  afterEach(async () => {
    await Promise.all(caches.splice(0).map(cache => cache.close()))
    watcher.disconnect()
    await server.close()
  })

  test('hits ask no server, and what another process deletes is gone within a moment', async () => {
    const [one, other] = [await open(), await open()]
    await one.set('key', 'value', { tags: ['tag'] })
    await other.get('key')
    const before = await reads()
    for (let call = 0; call < 1000; call++) expect(await other.get('key')).toBe('value')
    expect(await reads()).toBe(before)
    await one.deleteByTag('tag')
    await answers(other, undefined, 1000)
    await one.set('key', 'new')
    await answers(other, 'new', 1000)
  })

  test('a server that is killed takes the local values along, and tells again once it is back', async () => {
    const [one, other] = [await open(), await open()]
    await one.set('key', 'old')
    expect(await other.get('key')).toBe('old')
    await server.kill()
    await server.restart()
    // The server kept nothing: a local value that was still served would be one that nobody else has.
    await answers(other, undefined, 3000)
    const written = async (): Promise<void> => one.set('key', 'new').catch(() => sleep(20).then(written))
    await written()
    await answers(other, 'new', 2000)
    await one.delete('key')
    await answers(other, undefined, 2000)
  }, 20_000)

  test('without messages of its own, a process drops what it has each second', async () => {
    const [one, other] = [await open(), await open()]
    await one.set('key', 'old')
    expect(await other.get('key')).toBe('old')
    // The store goes on, the bus does not: as on a server of its own that froze.
    await watcher.call('ACL', 'SETUSER', 'default', '-publish')
    await sleep(1100)
    await one.set('key', 'new')
    await answers(other, 'new', 3000)
  }, 20_000)
})
