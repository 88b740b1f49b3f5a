import type { Firestore } from '@google-cloud/firestore'
import { defaultRecords } from '../cachekit-records.ts'
import type { Contestant, Subject, Suite } from '../suite.ts'
import { load, makeValue, patience, ttl } from '../workload.ts'

const driver = '@google-cloud/firestore, same encoding'

/** Objects in a server: what an application calls. The server is the emulator, far slower than Firestore is per core. */
export const firestore: Suite = {
  name: 'firestore',
  title: 'Firestore (emulator): objects',
  service: 'firestore',
  keys: 200,
  rounds: 11,
  baseline: driver,
  operations: ['get', 'set', 'getMany', 'hit'],
  clock: 'wall',
  contestants: [
    {
      name: driver,
      options: "doc.get, doc.set with expiresAt, getAll; @cachekit/core's own record format",
      packages: ['@google-cloud/firestore'],
      async open(url) {
        const { encode, decode } = await defaultRecords()
        return bare(url, 'recorded', ({ read, readAll, write }) => ({
          set: (key, value) => write(key, encode(value)),
          get: async key => decode(await read(key)),
          hit: async key => decode(await read(key)),
          getMany: async keys => (await readAll(keys)).map(decode),
        }))
      },
    },
    {
      name: 'cachekit',
      options: 'FirestoreBackend: projectId, clientOptions, timeout; get, set, getMany, getOrSet',
      packages: ['@cachekit/core', '@cachekit/firestore', '@google-cloud/firestore'],
      async open(url): Promise<Subject> {
        const { createCache } = await import('@cachekit/core')
        const { FirestoreBackend } = await import('@cachekit/firestore')
        const cache = createCache({
          backend: new FirestoreBackend({ ...emulator(url), timeout: patience }),
          ttl,
          storeTimeout: patience,
        })
        return {
          set: (key, value) => cache.set(key, value),
          get: key => cache.get(key),
          getMany: keys => cache.getMany(keys),
          hit: key => cache.getOrSet(key, load),
          close: () => cache.close(),
        }
      },
    },
  ],
  budgets: [],
}

/** Bytes in a server: what the contract of a backend costs over its driver. */
export const firestoreBytes: Suite = {
  name: 'firestore-bytes',
  title: 'Firestore (emulator): bytes',
  service: 'firestore',
  keys: 200,
  rounds: 11,
  baseline: '@google-cloud/firestore',
  operations: ['get', 'set', 'getMany'],
  clock: 'wall',
  value: (size, index) => Buffer.from(JSON.stringify(makeValue(size, index))),
  contestants: [
    {
      name: '@google-cloud/firestore',
      options: 'doc.get, doc.set with expiresAt, getAll',
      packages: ['@google-cloud/firestore'],
      open: url =>
        bare(url, 'barebyte', ({ read, readAll, write }) => ({
          set: (key, value) => write(key, value as Buffer),
          get: read,
          getMany: readAll,
        })),
    },
    {
      name: 'cachekit backend',
      options: 'FirestoreBackend: projectId, clientOptions, timeout; get, set, getMany',
      packages: ['@cachekit/core', '@cachekit/firestore', '@google-cloud/firestore'],
      async open(url): Promise<Subject> {
        const { FirestoreBackend } = await import('@cachekit/firestore')
        const backend = new FirestoreBackend({ ...emulator(url), timeout: patience })
        return {
          set: (key, value) => backend.set(key, value as Buffer, { ttl }),
          get: key => backend.get(key),
          getMany: keys => backend.getMany(keys),
          close: () => backend.close(),
        }
      },
    },
  ],
  budgets: [],
}

interface Documents {
  read(key: string): Promise<Buffer>
  readAll(keys: readonly string[]): Promise<Buffer[]>
  write(key: string, value: Buffer): Promise<unknown>
}

/** The driver with its default options, on documents with the fields that CacheKit's have. */
async function bare(
  url: string,
  namespace: string,
  operations: (documents: Documents) => Subject,
): ReturnType<Contestant['open']> {
  const { Firestore } = await import('@google-cloud/firestore')
  const { projectId, clientOptions } = emulator(url)
  const client: Firestore = new Firestore({ projectId, ...clientOptions })
  const collection = client.collection(namespace)
  return {
    ...operations({
      read: async key => (await collection.doc(key).get()).get('value'),
      readAll: async keys =>
        (await client.getAll(...keys.map(key => collection.doc(key)))).map(each => each.get('value')),
      write: (key, value) =>
        collection.doc(key).set({ id: `${namespace}:${key}`, value, expiresAt: new Date(Date.now() + ttl) }),
    }),
    close: () => client.terminate(),
  }
}

function emulator(url: string): { projectId: string; clientOptions: { host: string; ssl: false } } {
  // The driver looks for the machines of Google Cloud otherwise.
  process.env.METADATA_SERVER_DETECTION = 'none'
  return { projectId: 'bench', clientOptions: { host: new URL(url).host, ssl: false } }
}
