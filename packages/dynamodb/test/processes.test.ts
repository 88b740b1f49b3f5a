import { describeService } from '@cachekit/testing'
import { processCases } from '../../core/test/processes/process-cases.ts'
import { local } from './fixtures/local.ts'

describeService('dynamodb', ({ url }) => {
  const module = require.resolve('../src/index.ts')
  processCases(namespace => [module, 'DynamoDBBackend', { ...local(url), namespace }])
})
