import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createCache } from '@cachekit/core'
import { conformance } from '@cachekit/core/conformance'
import { InMemoryBackend } from '@cachekit/memory'
import { SqliteBackend } from './sqlite-backend.mjs'

test('a cache loads once', async ({ mock }) => {
  const load = mock.fn(async () => new Date(0))
  const cache = createCache({ backend: new InMemoryBackend(), ttl: '1m' })
  await cache.getOrSet('key', load)
  assert.deepEqual(await cache.getOrSet('key', load), new Date(0))
  assert.equal(load.mock.callCount(), 1)
  await cache.close()
})

describe('SqliteBackend', () => {
  for (const { title, run, timeout } of conformance({
    create: options => new SqliteBackend({ path: 'cache.db', ...options }),
  })) {
    test(title, { timeout }, run)
  }
})
