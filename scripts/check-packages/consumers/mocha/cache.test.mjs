import assert from 'node:assert/strict'
import { createCache } from '@cachekit/core'
import { conformance } from '@cachekit/core/conformance'
import { InMemoryBackend } from '@cachekit/memory'
import { SqliteBackend } from './sqlite-backend.mjs'

it('a cache loads once', async () => {
  let loads = 0
  const load = async () => {
    loads++
    return new Date(0)
  }
  const cache = createCache({ backend: new InMemoryBackend(), ttl: '1m' })
  await cache.getOrSet('key', load)
  assert.deepEqual(await cache.getOrSet('key', load), new Date(0))
  assert.equal(loads, 1)
  await cache.close()
})

describe('SqliteBackend', () => {
  for (const { title, run, timeout } of conformance({
    create: options => new SqliteBackend({ path: 'cache.db', ...options }),
  })) {
    it(title, run).timeout(timeout)
  }
})
