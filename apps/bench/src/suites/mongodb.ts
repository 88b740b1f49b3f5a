import type { Collection } from 'mongodb'
import { defaultRecords } from '../cachekit-records.ts'
import type { Contestant, Subject, Suite } from '../suite.ts'
import { load, makeValue, patience, ttl } from '../workload.ts'

const driver = 'mongodb, same encoding'

/** Objects in a server: what an application calls. */
export const mongodb: Suite = {
  name: 'mongodb',
  title: 'MongoDB: objects',
  service: 'mongodb',
  baseline: driver,
  operations: ['get', 'set', 'getMany', 'hit'],
  clock: 'wall',
  contestants: [
    {
      name: driver,
      options: "findOne, updateOne, find, of what has not expired; @cachekit/core's own record format",
      packages: ['mongodb'],
      async open(url) {
        const { encode, decode } = await defaultRecords()
        return bare(url, 'recorded', ({ get, set, getMany }) => ({
          set: (name, value) => set(name, encode(value)),
          get: async name => decode(await get(name)),
          hit: async name => decode(await get(name)),
          getMany: async names => (await getMany(names)).map(decode),
        }))
      },
    },
    {
      name: 'cachekit',
      options: 'MongoDBBackend: url, timeout; get, set, getMany, getOrSet',
      packages: ['@cachekit/core', '@cachekit/mongodb', 'mongodb'],
      async open(url): Promise<Subject> {
        const { createCache } = await import('@cachekit/core')
        const { MongoDBBackend } = await import('@cachekit/mongodb')
        const cache = createCache({
          backend: new MongoDBBackend({ url, timeout: patience }),
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
    {
      name: 'keyv',
      options: '@keyv/mongo: namespace; ttl at set',
      packages: ['keyv', '@keyv/mongo', 'mongodb'],
      async open(url): Promise<Subject> {
        const { Keyv } = await import('keyv')
        const { KeyvMongo } = await import('@keyv/mongo')
        const store = new Keyv({ store: new KeyvMongo({ url, db: 'keyv', collection: 'keyv' }), namespace: 'keyv' })
        return {
          set: (key, value) => store.set(key, value, ttl),
          get: key => store.get(key),
          getMany: keys => store.getMany([...keys]),
          close: () => store.disconnect(),
        }
      },
    },
    {
      name: 'unstorage',
      options: 'mongodb driver: no ttl; getItem, setItem, getItems',
      packages: ['unstorage', 'mongodb'],
      async open(url): Promise<Subject> {
        const { createStorage } = await import('unstorage')
        const { default: mongodbDriver } = await import('unstorage/drivers/mongodb')
        const options = { connectionString: url, databaseName: 'unstorage', collectionName: 'unstorage' }
        const storage = createStorage({ driver: mongodbDriver(options) })
        return {
          set: (key, value) => storage.setItem(key, value as object),
          get: key => storage.getItem(key),
          getMany: async keys => (await storage.getItems([...keys])).map(item => item.value),
          close: () => storage.dispose(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit', than: driver, atLeast: 0.95 }],
}

/** Bytes in a server: what the contract of a backend costs over its driver. */
export const mongodbBytes: Suite = {
  name: 'mongodb-bytes',
  title: 'MongoDB: bytes',
  service: 'mongodb',
  baseline: 'mongodb',
  operations: ['get', 'set', 'getMany'],
  clock: 'wall',
  value: (size, index) => Buffer.from(JSON.stringify(makeValue(size, index))),
  contestants: [
    {
      name: 'mongodb',
      options: 'findOne, updateOne, find, of what has not expired',
      packages: ['mongodb'],
      open: url =>
        bare(url, 'barebyte', ({ get, set, getMany }) => ({
          set: (name, value) => set(name, value as Buffer),
          get,
          getMany,
        })),
    },
    {
      name: 'cachekit backend',
      options: 'MongoDBBackend: url, timeout; get, set, getMany',
      packages: ['@cachekit/core', '@cachekit/mongodb', 'mongodb'],
      async open(url): Promise<Subject> {
        const { MongoDBBackend } = await import('@cachekit/mongodb')
        const backend = new MongoDBBackend({ url, timeout: patience })
        return {
          set: (key, value) => backend.set(key, value as Buffer, { ttl }),
          get: key => backend.get(key),
          getMany: keys => backend.getMany(keys),
          close: () => backend.close(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit backend', than: 'mongodb', atLeast: 0.95 }],
}

interface Item {
  readonly _id: string
  readonly value: Buffer
  readonly expiresAt: Date
}

interface Bytes {
  set(name: string, value: Buffer): Promise<unknown>
  get(name: string): Promise<Buffer>
  getMany(names: readonly string[]): Promise<Buffer[]>
}

/** The driver with its default options, as an application would write it by hand. */
async function bare(
  url: string,
  namespace: string,
  operations: (bytes: Bytes) => Subject,
): ReturnType<Contestant['open']> {
  const { MongoClient } = await import('mongodb')
  const client = await new MongoClient(url).connect()
  const items: Collection<Item> = client.db(namespace).collection<Item>('items', { promoteBuffers: true })
  await items.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 })
  const live = (): { expiresAt: { $gt: Date } } => ({ expiresAt: { $gt: new Date() } })
  const id = (name: string): string => `${namespace}:${name}`
  const bytes: Bytes = {
    set: (name, value) =>
      items.updateOne({ _id: id(name) }, { $set: { value, expiresAt: new Date(Date.now() + ttl) } }, { upsert: true }),
    get: async name => ((await items.findOne({ _id: id(name), ...live() })) as Item).value,
    async getMany(names) {
      const found = await items.find({ _id: { $in: names.map(id) }, ...live() }).toArray()
      const byId = new Map(found.map(item => [item._id, item.value]))
      return names.map(name => byId.get(id(name)) as Buffer)
    },
  }
  return { ...operations(bytes), close: () => client.close() }
}
