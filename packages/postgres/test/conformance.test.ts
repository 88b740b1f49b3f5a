import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { PostgresBackend } from '../src/index.ts'

describeService('postgres', server => {
  const create = (options: object, { host, port } = server): PostgresBackend =>
    new PostgresBackend({ url: server.url.replace(`${server.host}:${server.port}`, `${host}:${port}`), ...options })
  for (const { title, run, timeout } of conformance({ create, server })) test(title, run, timeout)
})
