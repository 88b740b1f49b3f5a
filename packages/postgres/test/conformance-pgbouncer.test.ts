import { conformance } from '@cachekit/core/conformance'
import { describeService, type Server, startPgBouncer } from '@cachekit/testing'
import { PostgresBackend } from '../src/index.ts'

describeService('postgres', service => {
  let bouncer: Server
  beforeAll(async () => {
    bouncer = await startPgBouncer(service)
  }, 60_000)
  afterAll(() => bouncer.close())

  const create = (options: object): PostgresBackend =>
    new PostgresBackend({ url: bouncer.url, preparedStatements: false, ...options })
  for (const { title, run, timeout } of conformance({ create })) test(title, run, timeout)
})
