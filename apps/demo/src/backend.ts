import type { CacheBackend } from '@cachekit/core'
import { DynamoDBBackend } from '@cachekit/dynamodb'
import { FirestoreBackend } from '@cachekit/firestore'
import { MemcachedBackend } from '@cachekit/memcached'
import { InMemoryBackend } from '@cachekit/memory'
import { MongoDBBackend } from '@cachekit/mongodb'
import { PostgresBackend } from '@cachekit/postgres'
import { RedisBackend } from '@cachekit/redis'

const namespace = 'cachekit-demo'

/** DynamoDB Local takes any region and credentials. On AWS leave these out: the SDK finds its own. */
const dynamoDBLocal = {
  region: 'us-east-1',
  clientOptions: { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } },
}

/**
 * The stores that `--backend` can name: the only place where the app knows any of them. Swapping the store is
 * swapping one of these lines for another; no other file changes.
 */
const stores = {
  memory: { create: () => new InMemoryBackend({ namespace }) },
  redis: { url: 'redis://127.0.0.1:6379', create: url => new RedisBackend({ namespace, url }) },
  postgres: {
    url: 'postgres://postgres:cachekit@127.0.0.1:5432/postgres',
    create: url => new PostgresBackend({ namespace, url }),
  },
  memcached: {
    url: 'memcached://127.0.0.1:11211',
    create: url => new MemcachedBackend({ namespace, servers: new URL(url).host }),
  },
  mongodb: { url: 'mongodb://127.0.0.1:27017', create: url => new MongoDBBackend({ namespace, url }) },
  /** The emulator. */
  firestore: {
    url: 'http://127.0.0.1:8080',
    create: url =>
      new FirestoreBackend({ namespace, projectId: namespace, clientOptions: { host: new URL(url).host, ssl: false } }),
  },
  dynamodb: {
    url: 'http://127.0.0.1:8000',
    create: endpoint => new DynamoDBBackend({ namespace, endpoint, ...dynamoDBLocal }),
  },
} satisfies Record<string, Store>

/** A store and, if it is a server, where it is when `--url` does not say otherwise. */
export type Store =
  | { readonly url?: undefined; create(): CacheBackend }
  | { readonly url: string; create(url: string): CacheBackend }

export const backendNames: readonly string[] = Object.keys(stores)

/** The store called `name`; `undefined` if there is none. */
export function findStore(name: string): Store | undefined {
  return Object.hasOwn(stores, name) ? stores[name as keyof typeof stores] : undefined
}
