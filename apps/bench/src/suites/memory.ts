import type { Contestant, Subject, Suite } from '../suite.ts'
import { load, maxEntries, ttl } from '../workload.ts'

/** A hit hands out the object that was stored. */
export const memory: Suite = {
  name: 'memory',
  title: 'Memory: hits by reference',
  baseline: 'lru-cache get',
  operations: ['hit'],
  clock: 'processor',
  answers: 'shared',
  contestants: [
    lruCacheGet(),
    cachekit('share'),
    { ...cachekit('share', 's3fifo'), name: 'cachekit, s3fifo' },
    {
      name: 'lru-cache fetch',
      options: 'max, ttl, fetchMethod',
      packages: ['lru-cache'],
      async open() {
        const { LRUCache } = await import('lru-cache')
        const cache = new LRUCache<string, object>({ max: maxEntries, ttl, fetchMethod: load })
        return { set: (key, value) => cache.set(key, value as object), hit: key => cache.fetch(key) }
      },
    },
    {
      name: 'layered-loader',
      options: "inMemoryCache: cacheType 'lru-map', maxItems, ttlInMsecs; get",
      packages: ['layered-loader'],
      async open() {
        const { Loader } = await import('layered-loader/core')
        const inMemoryCache = { cacheType: 'lru-map', maxItems: maxEntries, ttlInMsecs: ttl } as const
        const loader = new Loader<unknown>({ inMemoryCache, dataSourceGetOneFn: load })
        return { set: (key, value) => loader.forceSetValue(key, value), hit: key => loader.get(key) }
      },
    },
    bentocache('shared'),
    cacheable('shared'),
    keyv('shared'),
  ],
  budgets: ['lru-cache fetch', 'layered-loader', 'bentocache', 'cacheable', 'keyv'].map(than => ({
    contestant: 'cachekit',
    than,
    atLeast: 1,
  })),
}

/** A hit hands out an object of its own: what its caller does to it changes nothing in the cache. */
export const memoryIsolated: Suite = {
  name: 'memory-isolated',
  title: 'Memory: hits that are isolated',
  baseline: 'lru-cache + structuredClone',
  operations: ['hit'],
  clock: 'processor',
  answers: 'own',
  contestants: [
    {
      name: 'lru-cache + structuredClone',
      options: 'max, ttl; structuredClone in set and get',
      packages: ['lru-cache'],
      synchronous: true,
      async open() {
        const { LRUCache } = await import('lru-cache')
        const cache = new LRUCache<string, object>({ max: maxEntries, ttl })
        return {
          set: (key, value) => cache.set(key, structuredClone(value as object)),
          hit: key => structuredClone(cache.get(key)),
        }
      },
    },
    cachekit('clone'),
    bentocache('own'),
    cacheable('own'),
    keyv('own'),
  ],
  budgets: ['lru-cache + structuredClone', 'bentocache', 'cacheable', 'keyv'].map(than => ({
    contestant: 'cachekit',
    than,
    atLeast: 1,
  })),
}

/** What any cache in this process can reach at most: no loader, no promise, no isolation. */
function lruCacheGet(): Contestant {
  return {
    name: 'lru-cache get',
    options: 'max, ttl; synchronous, without a loader',
    packages: ['lru-cache'],
    synchronous: true,
    async open() {
      const { LRUCache } = await import('lru-cache')
      const cache = new LRUCache<string, object>({ max: maxEntries, ttl })
      return { set: (key, value) => cache.set(key, value as object), hit: key => cache.get(key) }
    },
  }
}

function cachekit(isolation: 'clone' | 'share', policy: 'lru' | 's3fifo' = 'lru'): Contestant {
  return {
    name: 'cachekit',
    options: `InMemoryBackend: maxEntries, isolation '${isolation}', policy '${policy}'; getOrSet`,
    packages: ['@cachekit/core', '@cachekit/memory'],
    async open() {
      const { createCache } = await import('@cachekit/core')
      const { InMemoryBackend } = await import('@cachekit/memory')
      const cache = createCache({ backend: new InMemoryBackend({ maxEntries, isolation, policy }), ttl })
      return {
        set: (key, value) => cache.set(key, value),
        hit: key => cache.getOrSet(key, load),
        close: () => cache.close(),
      }
    },
  }
}

function bentocache(answers: Suite['answers']): Contestant {
  const serialize = answers === 'own'
  return {
    name: 'bentocache',
    options: `memoryDriver: maxItems, serialize: ${serialize}; getOrSet`,
    packages: ['bentocache'],
    async open(): Promise<Subject> {
      const { BentoCache, bentostore } = await import('bentocache')
      const { memoryDriver } = await import('bentocache/drivers/memory')
      const store = bentostore().useL1Layer(memoryDriver({ maxItems: maxEntries, serialize }))
      const bento = new BentoCache({ default: 'memory', stores: { memory: store }, ttl })
      return {
        set: (key, value) => bento.set({ key, value }),
        hit: key => bento.getOrSet({ key, factory: load }),
        close: () => bento.disconnectAll(),
      }
    },
  }
}

function cacheable(answers: Suite['answers']): Contestant {
  const useClone = answers === 'own'
  return {
    name: 'cacheable',
    options: `createKeyv: lruSize, ttl, useClone: ${useClone}; getOrSet`,
    packages: ['cacheable'],
    async open(): Promise<Subject> {
      const { Cacheable, createKeyv } = await import('cacheable')
      const cache = new Cacheable({ primary: createKeyv({ lruSize: maxEntries, ttl, useClone }), ttl })
      return {
        set: (key, value) => cache.set(key, value),
        hit: key => cache.getOrSet(key, load),
        close: () => cache.disconnect(),
      }
    },
  }
}

/** It has no read-through call. */
function keyv(answers: Suite['answers']): Contestant {
  return {
    name: 'keyv',
    options: `ttl${answers === 'own' ? '' : ', serialization: false'}, unbounded Map (its default); get, without a loader`,
    packages: ['keyv6'],
    async open(): Promise<Subject> {
      const { Keyv } = await import('keyv6')
      const store = answers === 'own' ? new Keyv({ ttl }) : new Keyv({ ttl, serialization: false })
      return { set: (key, value) => store.set(key, value), hit: key => store.get(key) }
    },
  }
}
