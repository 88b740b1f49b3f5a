import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { RedisBackend } from '../src/index.ts'

jest.mock('ioredis', () => jest.requireActual('ioredis5'))

test('these cases run with version 5 of ioredis', () => expect(Redis).toBe(Redis5))

describeService('redis', server => {
  const create = (options: object, { host, port } = server): RedisBackend =>
    new RedisBackend({ url: `redis://${host}:${port}`, ...options })
  for (const { title, run, timeout } of conformance({ create, server })) test(title, run, timeout)
})
