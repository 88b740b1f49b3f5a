import { describeService } from '@cachekit/testing'
import { processCases } from '../../core/test/processes/process-cases.ts'

describeService('redis', ({ url }) => {
  const module = require.resolve('../src/index.ts')
  processCases(namespace => [module, 'RedisBackend', { url, namespace }])
})
