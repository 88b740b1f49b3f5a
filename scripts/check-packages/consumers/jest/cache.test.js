const { createCache } = require('@cachekit/core')
const { conformance } = require('@cachekit/core/conformance')
const { InMemoryBackend } = require('@cachekit/memory')
const { SqliteBackend } = require('./sqlite-backend.cjs')

test('a cache loads once', async () => {
  const load = jest.fn(async () => new Date(0))
  const cache = createCache({ backend: new InMemoryBackend(), ttl: '1m' })
  await cache.getOrSet('key', load)
  expect(await cache.getOrSet('key', load)).toEqual(new Date(0))
  expect(load).toHaveBeenCalledTimes(1)
  await cache.close()
})

describe('SqliteBackend', () => {
  for (const { title, run, timeout } of conformance({
    create: options => new SqliteBackend({ path: 'cache.db', ...options }),
  })) {
    test(title, run, timeout)
  }
})
