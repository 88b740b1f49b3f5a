import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { MemcachedBackend } from '../src/index.ts'

describeService('memcached', server => {
  const create = (options: object, { host, port } = server): MemcachedBackend =>
    new MemcachedBackend({ servers: `${host}:${port}`, ...options })
  for (const { title, run, timeout } of conformance({ create, server })) test(title, run, timeout)
})
