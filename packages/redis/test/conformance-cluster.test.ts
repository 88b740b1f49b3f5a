import { conformance } from '@cachekit/core/conformance'
import { describeService, type RedisCluster, startRedisCluster } from '@cachekit/testing'
import { RedisBackend } from '../src/index.ts'

describeService('redis', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startRedisCluster()
  }, 60_000)
  afterAll(() => cluster.close())

  const cases = conformance({ create: options => new RedisBackend({ cluster: cluster.urls, ...options }) })
  for (const { title, run, timeout } of cases) test(title, run, timeout)
})
