import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { MongoDBBackend } from '../src/index.ts'

describeService('mongodb', ({ url, host, port }) => {
  const cases = conformance({
    create: (options, server) =>
      new MongoDBBackend({
        url: server === undefined ? url : url.replace(`${host}:${port}`, `${server.host}:${server.port}`),
        ...options,
      }),
    server: { host, port },
  })
  for (const { title, timeout, run } of cases) test(title, run, timeout)
})
