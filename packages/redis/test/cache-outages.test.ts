import { describeService, startServer } from '@cachekit/testing'
import { cacheOutageCases } from '../../core/test/cache-outages.ts'
import { RedisBackend } from '../src/index.ts'

describeService('redis', () => {
  cacheOutageCases({
    start: () => startServer('redis'),
    open: ({ host, port }, namespace) => new RedisBackend({ url: `redis://${host}:${port}`, namespace }),
  })
})
