import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import { Firestore } from '@google-cloud/firestore'
import { FirestoreBackend } from '../src/index.ts'

// As with firebase-admin, the client that is passed in comes from another copy of the driver, here of version 8.
const { Firestore: Firestore8 } = jest.requireActual<typeof import('@google-cloud/firestore')>('firestore8')

test('these cases run with classes that are not ours', () => expect(Firestore8).not.toBe(Firestore))

// Or else the driver looks for a server of Google Cloud's own machines.
process.env.METADATA_SERVER_DETECTION = 'none'

describeService('firestore', server => {
  let client: Firestore
  beforeAll(() => {
    client = new Firestore8({ projectId: 'foreign-client', host: `${server.host}:${server.port}`, ssl: false })
  })
  afterAll(() => client.terminate())

  const create = (options: object): FirestoreBackend => new FirestoreBackend({ client, ...options })
  for (const { title, run, timeout } of conformance({ create })) test(title, run, timeout)
})
