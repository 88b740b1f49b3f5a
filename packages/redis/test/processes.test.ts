import { describeService } from '@cachekit/testing'
import { processCases } from '../../core/test/processes/process-cases.ts'

describeService('redis', ({ host, port }) => {
  const module = require.resolve('../src/index.ts')
  const operations = Number(process.env.CACHEKIT_OPERATIONS ?? 10_000)
  processCases(namespace => [module, 'RedisBackend', { url: `redis://${host}:${port}`, namespace }], operations)
})
