import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { FirestoreBackend } from '../src/index.ts'

// Or else the driver looks for a server of Google Cloud's own machines.
process.env.METADATA_SERVER_DETECTION = 'none'

describeService('firestore', server => {
  const create = (options: object, { host, port } = server): FirestoreBackend =>
    new FirestoreBackend({ projectId: 'cachekit', clientOptions: { host: `${host}:${port}`, ssl: false }, ...options })
  for (const { title, run, timeout } of conformance({ create, server })) test(title, run, timeout)
})
