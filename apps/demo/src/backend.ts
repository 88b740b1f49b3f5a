import type { CacheBackend } from '@cachekit/core'
import { FirestoreBackend } from '@cachekit/firestore'
import { InMemoryBackend } from '@cachekit/memory'
import { RedisBackend } from '@cachekit/redis'

const namespace = 'cachekit-demo'

/**
 * The stores that `--backend` can name: the only place where the app knows any of them. Swapping the store is
 * swapping one of these lines for another; no other file changes.
 */
const stores = {
  memory: { create: () => new InMemoryBackend({ namespace }) },
  /** The emulator. */
  firestore: {
    url: 'http://127.0.0.1:8080',
    create: url =>
      new FirestoreBackend({ namespace, projectId: namespace, clientOptions: { host: new URL(url).host, ssl: false } }),
  },
  redis: { url: 'redis://127.0.0.1:6379', create: url => new RedisBackend({ namespace, url }) },
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
