import { describeService, startServer } from '@cachekit/testing'
import { cacheOutageCases } from '../../core/test/cache-outages.ts'
import { MongoDBBackend } from '../src/index.ts'
import { primary } from './fixtures/primary.ts'

describeService('mongodb', ({ host, port, url }) => {
  cacheOutageCases({
    start: () => startServer('mongodb'),
    keepsData: true,
    open: (server, namespace) =>
      new MongoDBBackend({ url: url.replace(`${host}:${port}`, `${server.host}:${server.port}`), namespace }),
    ready: server => primary(server.url),
  })
})
