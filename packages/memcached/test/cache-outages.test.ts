import { describeService, startServer } from '@cachekit/testing'
import { cacheOutageCases } from '../../core/test/cache-outages.ts'
import { MemcachedBackend } from '../src/index.ts'

describeService('memcached', () => {
  cacheOutageCases({
    start: () => startServer('memcached'),
    open: ({ host, port }, namespace) => new MemcachedBackend({ servers: `${host}:${port}`, namespace }),
  })
})
