import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { DynamoDBBackend } from '../src/index.ts'
import { local } from './fixtures/local.ts'

describeService('dynamodb', server => {
  const create = (options: object, { host, port } = server): DynamoDBBackend =>
    new DynamoDBBackend({ ...local(`http://${host}:${port}`), ...options })
  for (const { title, run, timeout } of conformance({ create, server })) test(title, run, timeout)
})
