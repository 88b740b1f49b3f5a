import { describeService, startServer } from '@cachekit/testing'
import { cacheOutageCases } from '../../core/test/cache-outages.ts'
import { FirestoreBackend } from '../src/index.ts'
import { warmUp } from './fixtures/warm-up.ts'

// Or else the driver looks for a server of Google Cloud's own machines.
process.env.METADATA_SERVER_DETECTION = 'none'

describeService('firestore', () => {
  cacheOutageCases({
    start: () => startServer('firestore'),
    open: ({ host, port }, namespace) =>
      new FirestoreBackend({ projectId: 'outages', clientOptions: { host: `${host}:${port}`, ssl: false }, namespace }),
    ready: warmUp,
  })
})
