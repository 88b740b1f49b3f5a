const { createCache, isCacheError } = require('@cachekit/core')
const { RedisBackend } = require('@cachekit/redis')

import('./exercise.mjs').then(({ exercise }) => exercise({ createCache, isCacheError, RedisBackend }))
