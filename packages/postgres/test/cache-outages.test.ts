import { describeService, startServer } from '@cachekit/testing'
import { cacheOutageCases } from '../../core/test/cache-outages.ts'
import { PostgresBackend } from '../src/index.ts'

describeService('postgres', ({ host, port, url }) => {
  cacheOutageCases({
    start: () => startServer('postgres'),
    keepsData: true,
    open: (server, namespace) =>
      new PostgresBackend({ url: url.replace(`${host}:${port}`, `${server.host}:${server.port}`), namespace }),
  })
})
