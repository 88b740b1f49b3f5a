import { describeService } from '@cachekit/testing'
import { processCases } from '../../core/test/processes/process-cases.ts'

// Or else the driver looks for a server of Google Cloud's own machines.
process.env.METADATA_SERVER_DETECTION = 'none'

describeService('firestore', ({ host, port }) => {
  const module = require.resolve('../src/index.ts')
  const clientOptions = { host: `${host}:${port}`, ssl: false }
  processCases(namespace => [module, 'FirestoreBackend', { projectId: 'cachekit', clientOptions, namespace }])
})
