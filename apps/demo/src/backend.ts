import type { CacheBackend } from '@cachekit/core'

const namespace = 'cachekit-demo'

/** DynamoDB Local takes any region and credentials. On AWS leave these out: the SDK finds its own. */
const dynamoDBLocal = {
  region: 'us-east-1',
  clientOptions: { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } },
}

/**
 * The stores that `--backend` can name: the only place where the app knows any of them. Swapping the store is
 * swapping one of these entries for another; no other file changes. Each is imported only when it is chosen.
 */
const stores = {
  memory: {
    async create() {
      const { InMemoryBackend } = await import('@cachekit/memory')
      return new InMemoryBackend({ namespace })
    },
  },
  redis: {
    url: 'redis://127.0.0.1:6379',
    async create(url) {
      const { RedisBackend } = await import('@cachekit/redis')
      return new RedisBackend({ namespace, url })
    },
  },
  postgres: {
    url: 'postgres://postgres:cachekit@127.0.0.1:5432/postgres',
    async create(url) {
      const { PostgresBackend } = await import('@cachekit/postgres')
      return new PostgresBackend({ namespace, url })
    },
  },
  memcached: {
    url: 'memcached://127.0.0.1:11211',
    async create(url) {
      const { MemcachedBackend } = await import('@cachekit/memcached')
      return new MemcachedBackend({ namespace, servers: new URL(url).host })
    },
  },
  mongodb: {
    url: 'mongodb://127.0.0.1:27017',
    async create(url) {
      const { MongoDBBackend } = await import('@cachekit/mongodb')
      return new MongoDBBackend({ namespace, url })
    },
  },
  /** The emulator. */
  firestore: {
    url: 'http://127.0.0.1:8080',
    async create(url) {
      const { FirestoreBackend } = await import('@cachekit/firestore')
      const clientOptions = { host: new URL(url).host, ssl: false }
      return new FirestoreBackend({ namespace, projectId: namespace, clientOptions })
    },
  },
  dynamodb: {
    url: 'http://127.0.0.1:8000',
    async create(endpoint) {
      const { DynamoDBBackend } = await import('@cachekit/dynamodb')
      return new DynamoDBBackend({ namespace, endpoint, ...dynamoDBLocal })
    },
  },
} satisfies Record<string, Store>

/** A store and, if it is a server, an example of the URL that `--url` takes. */
export type Store =
  | { readonly url?: undefined; create(): Promise<CacheBackend> }
  | { readonly url: string; create(url: string): Promise<CacheBackend> }

export const backendNames: readonly string[] = Object.keys(stores)

/** The store called `name`; `undefined` if there is none. */
export function findStore(name: string): Store | undefined {
  return Object.hasOwn(stores, name) ? stores[name as keyof typeof stores] : undefined
}
