// An application's ES modules and the CommonJS of one of its dependencies meet in one process.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import * as imported from '@cachekit/core'
import * as importedRedis from '@cachekit/redis'
import { exercise } from './exercise.mjs'

const require = createRequire(import.meta.url)
const required = require('@cachekit/core')
const requiredRedis = require('@cachekit/redis')
assert.notEqual(imported.CacheError, required.CacheError, 'there are two copies')

for (const [one, other] of [
  [imported, required],
  [required, imported],
]) {
  const error = new one.CacheError({ code: 'CACHE_TIMEOUT' })
  assert.equal(error instanceof other.CacheError, false)
  assert.equal(other.isCacheError(error, 'CACHE_TIMEOUT'), true)
  assert.equal(other.isCacheError(error, 'CACHE_CLOSED'), false)
}

await exercise({ ...imported, RedisBackend: requiredRedis.RedisBackend })
await exercise({ ...required, RedisBackend: importedRedis.RedisBackend })

// What the backend of one copy rejects with decides what the cache of the other does: the store is away, the load goes on.
const backend = new requiredRedis.RedisBackend({ url: 'redis://127.0.0.1:1', timeout: 500 })
const cache = imported.createCache({ backend })
assert.equal(await cache.getOrSet('key', () => 'loaded'), 'loaded')
await assert.rejects(cache.get('key'), error => imported.isCacheError(error, 'CACHE_UNAVAILABLE'))
await cache.close()
