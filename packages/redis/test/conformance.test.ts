import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { RedisBackend } from '../src/index.ts'

describeService('redis', server => {
  const create = (options: object, { host, port } = server): RedisBackend =>
    new RedisBackend({ url: `redis://${host}:${port}`, ...options })
  for (const { title, run, timeout } of conformance({ create, server })) test(title, run, timeout)
})
