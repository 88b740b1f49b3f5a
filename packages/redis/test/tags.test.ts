import { type Cache, createCache } from '@cachekit/core'
import { describeService, FaultProxy, type Server, startServer } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { RedisBackend } from '../src/index.ts'

describeService('redis', () => {
  let server: Server
  let redis: Redis
  let proxy: FaultProxy
  let cache: Cache
  beforeAll(async () => {
    server = await startServer('redis')
    redis = new Redis(server.url, { disconnectTimeout: 0 })
    proxy = await FaultProxy.start(server)
    cache = createCache({ backend: new RedisBackend({ url: `redis://${proxy.host}:${proxy.port}` }), ttl: '5m' })
    // Redis learns the scripts.
    await cache.getOrSet('warm up', () => 1, { tags: ['warm'] })
  }, 60_000)
  afterAll(async () => {
    await cache.close()
    redis.disconnect()
    await proxy.close()
    await server.close()
  })

  /** How many round trips to the server the call takes. */
  async function cost(call: () => Promise<unknown>): Promise<number> {
    const before = proxy.traffic.roundTrips
    await call()
    return proxy.traffic.roundTrips - before
  }

  /** As many tags, whose tokens do not exist yet. */
  const newTags = (count: number): string[] => Array.from({ length: count }, () => `tag ${Math.random()}`)
  let loads = 0
  const load = (): object => ({ loads: ++loads })

  test.each([
    { tags: 0, hit: 1, get: 1, miss: 3, first: 3, set: 1, firstSet: 1 },
    { tags: 1, hit: 1, get: 2, miss: 3, first: 4, set: 2, firstSet: 3 },
    { tags: 32, hit: 1, get: 2, miss: 3, first: 4, set: 2, firstSet: 3 },
  ])('round trips of a key with $tags tags', async ({ tags: count, ...expected }) => {
    const tags = newTags(count)
    const before = loads
    const first = await cost(() => cache.getOrSet(`${count} first`, load, { tags }))
    const miss = await cost(() => cache.getOrSet(`${count} miss`, load, { tags }))
    expect(loads).toBe(before + 2)
    const hit = await cost(() => cache.getOrSet(`${count} miss`, load, { tags }))
    const get = await cost(() => cache.get(`${count} miss`))
    expect(loads).toBe(before + 2)
    const set = await cost(() => cache.set(`${count} set`, {}, { tags }))
    const firstSet = await cost(() => cache.set(`${count} first set`, {}, { tags: newTags(count) }))
    expect({ hit, get, miss, first, set, firstSet }).toEqual(expected)
  })

  test.each([1, 32])(
    'deleteByTag of %i tags costs one round trip, with 10,000 entries too',
    async count => {
      const tags = newTags(count)
      const keys = Array.from({ length: 10_000 }, (_, index) => `${count} tagged ${index}`)
      await cache.setMany(
        keys.map(key => [key, 'value']),
        { tags },
      )
      const size = await redis.dbsize()
      await redis.config('RESETSTAT')
      expect(await cost(() => cache.deleteByTag(...tags))).toBe(1)
      expect(await redis.info('commandstats')).toMatch(/^cmdstat_unlink:calls=1,/m)
      expect(await redis.dbsize()).toBe(size - count)
      expect((await cache.getMany(keys)).filter(value => value !== undefined)).toEqual([])
    },
    60_000,
  )
})
