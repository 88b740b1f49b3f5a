import { describeService, startServer } from '@cachekit/testing'
import { cacheOutageCases } from '../../core/test/cache-outages.ts'
import { DynamoDBBackend } from '../src/index.ts'
import { local } from './fixtures/local.ts'
import { warmUp } from './fixtures/warm-up.ts'

describeService('dynamodb', () => {
  cacheOutageCases({
    start: () => startServer('dynamodb'),
    keepsData: true,
    open: ({ host, port }, namespace) => new DynamoDBBackend({ ...local(`http://${host}:${port}`), namespace }),
    ready: warmUp,
  })
})
