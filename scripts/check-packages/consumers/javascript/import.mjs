import { createCache, isCacheError } from '@cachekit/core'
import { RedisBackend } from '@cachekit/redis'
import { exercise } from './exercise.mjs'

await exercise({ createCache, isCacheError, RedisBackend })
