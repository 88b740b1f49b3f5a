import { describeService } from '@cachekit/testing'
import { processCases } from '../../core/test/processes/process-cases.ts'

describeService('memcached', ({ host, port }) => {
  const module = require.resolve('../src/index.ts')
  processCases(namespace => [module, 'MemcachedBackend', { servers: `${host}:${port}`, namespace }])
})
