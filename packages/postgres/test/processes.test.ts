import { describeService } from '@cachekit/testing'
import { processCases } from '../../core/test/processes/process-cases.ts'

describeService('postgres', ({ url }) => {
  const module = require.resolve('../src/index.ts')
  processCases(namespace => [module, 'PostgresBackend', { url, namespace }])
})
