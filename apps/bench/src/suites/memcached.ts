import type Memcached from 'memcached'
import { defaultRecords } from '../cachekit-records.ts'
import type { Contestant, Subject, Suite } from '../suite.ts'
import { load, makeValue, patience, ttl } from '../workload.ts'

const driver = 'memcached, same encoding'

/** Objects in a server: what an application calls. */
export const memcached: Suite = {
  name: 'memcached',
  title: 'Memcached: objects',
  service: 'memcached',
  baseline: driver,
  operations: ['get', 'set', 'getMany', 'hit'],
  clock: 'wall',
  contestants: [
    {
      name: driver,
      options: "get, set, getMulti; @cachekit/core's own record format",
      packages: ['memcached'],
      async open(url) {
        const { encode, decode } = await defaultRecords()
        return bare(url, 'recorded', (client, key) => ({
          set: (name, value) => set(client, key(name), encode(value) as Buffer),
          get: async name => decode(await get(client, key(name))),
          hit: async name => decode(await get(client, key(name))),
          getMany: async names => (await getMany(client, names.map(key))).map(bytes => decode(bytes)),
        }))
      },
    },
    {
      name: 'cachekit',
      options: 'MemcachedBackend: servers, timeout; get, set, getMany, getOrSet',
      packages: ['@cachekit/core', '@cachekit/memcached'],
      async open(url): Promise<Subject> {
        const { createCache } = await import('@cachekit/core')
        const { MemcachedBackend } = await import('@cachekit/memcached')
        const cache = createCache({
          backend: new MemcachedBackend({ servers: new URL(url).host, timeout: patience }),
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
      options: 'KeyvMemcache: namespace; ttl at set; memjs',
      packages: ['keyv', '@keyv/memcache'],
      async open(url): Promise<Subject> {
        const { default: Keyv } = await import('keyv')
        const { default: KeyvMemcache } = await import('@keyv/memcache')
        const store = new Keyv({ store: new KeyvMemcache(new URL(url).host), namespace: 'keyv' })
        return {
          set: (key, value) => store.set(key, value, ttl),
          get: key => store.get(key),
          getMany: keys => store.getMany([...keys]),
          close: () => store.disconnect(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit', than: driver, atLeast: 0.95 }],
}

/** Bytes in a server: what the contract of a backend costs over its driver. */
export const memcachedBytes: Suite = {
  name: 'memcached-bytes',
  title: 'Memcached: bytes',
  service: 'memcached',
  baseline: 'memcached',
  operations: ['get', 'set', 'getMany'],
  clock: 'wall',
  value: (size, index) => Buffer.from(JSON.stringify(makeValue(size, index))),
  contestants: [
    {
      name: 'memcached',
      options: 'get, set, getMulti',
      packages: ['memcached'],
      open: url =>
        bare(url, 'barebyte', (client, key) => ({
          set: (name, value) => set(client, key(name), value as Buffer),
          get: name => get(client, key(name)),
          getMany: names => getMany(client, names.map(key)),
        })),
    },
    {
      name: 'cachekit backend',
      options: 'MemcachedBackend: servers, timeout; get, set, getMany',
      packages: ['@cachekit/core', '@cachekit/memcached'],
      async open(url): Promise<Subject> {
        const { MemcachedBackend } = await import('@cachekit/memcached')
        const backend = new MemcachedBackend({ servers: new URL(url).host, timeout: patience })
        return {
          set: (key, value) => backend.set(key, value as Buffer, { ttl }),
          get: key => backend.get(key),
          getMany: keys => backend.getMany(keys),
          close: () => backend.close(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit backend', than: 'memcached', atLeast: 0.95 }],
}

/** The driver with its default options. A namespace as long as CacheKit's makes keys of the same length. */
async function bare(
  url: string,
  namespace: string,
  operations: (client: Memcached, key: (name: string) => string) => Subject,
): ReturnType<Contestant['open']> {
  const { default: Client } = await import('memcached')
  const client = new Client(new URL(url).host)
  // Its pool refuses calls that arrive faster than it connects.
  await get(client, 'connect')
  return { ...operations(client, name => `${namespace}:${name}`), close: () => client.end() }
}

type Answer<T> = (error: unknown, answer: T) => void

const promised = <T>(call: (answer: Answer<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => call((error, answer) => (error ? reject(error) : resolve(answer))))

const get = (client: Memcached, key: string): Promise<Buffer> => promised(answer => client.get(key, answer))

const set = (client: Memcached, key: string, value: Buffer): Promise<boolean> =>
  promised(answer => client.set(key, value, Math.ceil(ttl / 1000), answer))

async function getMany(client: Memcached, keys: string[]): Promise<Buffer[]> {
  const found = await promised<Record<string, Buffer>>(answer => client.getMulti(keys, answer))
  return keys.map(key => found[key] as Buffer)
}
