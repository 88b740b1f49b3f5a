import { conformance } from '@cachekit/core/conformance'
import { describeService, type Server, startServer } from '@cachekit/testing'
import { MemcachedBackend } from '../src/index.ts'

describeService('memcached', first => {
  let second: Server
  beforeAll(async () => {
    second = await startServer('memcached')
  }, 60_000)
  afterAll(() => second.close())

  const servers = (): string[] => [first, second].map(({ host, port }) => `${host}:${port}`)
  const create = (options: object): MemcachedBackend => new MemcachedBackend({ servers: servers(), ...options })
  for (const { title, run, timeout } of conformance({ create })) test(title, run, timeout)
})
