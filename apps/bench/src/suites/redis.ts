import type { Redis } from 'ioredis'
import { defaultRecords } from '../cachekit-records.ts'
import type { Contestant, Subject, Suite } from '../suite.ts'
import { load, makeValue, patience, ttl } from '../workload.ts'

const ioredis = 'ioredis, same encoding'

/** Objects in a server: what an application calls. */
export const redis: Suite = {
  name: 'redis',
  title: 'Redis: objects',
  service: 'redis',
  baseline: ioredis,
  operations: ['get', 'set', 'getMany', 'hit'],
  clock: 'wall',
  contestants: [
    {
      name: ioredis,
      options: "getBuffer, set PX, mgetBuffer; @cachekit/core's own record format",
      packages: ['ioredis'],
      async open(url) {
        const { encode, decode } = await defaultRecords()
        return bare(url, 'recorded', (client, key) => ({
          set: (name, value) => client.set(key(name), encode(value), 'PX', ttl),
          get: async name => decode((await client.getBuffer(key(name))) as Buffer),
          hit: async name => decode((await client.getBuffer(key(name))) as Buffer),
          getMany: async names => (await client.mgetBuffer(names.map(key))).map(bytes => decode(bytes as Buffer)),
        }))
      },
    },
    {
      name: 'ioredis + JSON',
      options: 'get, set PX, mget; JSON.parse and JSON.stringify',
      packages: ['ioredis'],
      open: url =>
        bare(url, 'jsontext', (client, key) => ({
          set: (name, value) => client.set(key(name), JSON.stringify(value), 'PX', ttl),
          get: async name => JSON.parse((await client.get(key(name))) as string),
          hit: async name => JSON.parse((await client.get(key(name))) as string),
          getMany: async names => (await client.mget(names.map(key))).map(text => JSON.parse(text as string)),
        })),
    },
    {
      name: 'cachekit',
      options: 'RedisBackend: url, timeout; get, set, getMany, getOrSet',
      packages: ['@cachekit/core', '@cachekit/redis', 'ioredis'],
      async open(url): Promise<Subject> {
        const { createCache } = await import('@cachekit/core')
        const { RedisBackend } = await import('@cachekit/redis')
        const cache = createCache({
          backend: new RedisBackend({ url, timeout: patience }),
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
      options: 'createKeyv of @keyv/redis: namespace; ttl at set; node-redis',
      packages: ['keyv', '@keyv/redis'],
      async open(url): Promise<Subject> {
        const { createKeyv } = await import('@keyv/redis')
        const store = createKeyv(url, { namespace: 'keyv' })
        return {
          set: (key, value) => store.set(key, value, ttl),
          get: key => store.get(key),
          getMany: keys => store.getMany([...keys]),
          close: () => store.disconnect(),
        }
      },
    },
    {
      name: 'bentocache',
      options: 'redisDriver: connection, no memory tier; get, set, getOrSet',
      packages: ['bentocache', 'ioredis'],
      async open(url): Promise<Subject> {
        const { BentoCache, bentostore } = await import('bentocache')
        const { redisDriver } = await import('bentocache/drivers/redis')
        const { hostname: host, port, username, password } = new URL(url)
        const connection = { host, port: Number(port || 6379), username, password }
        const store = bentostore().useL2Layer(redisDriver({ connection }))
        const bento = new BentoCache({ default: 'redis', stores: { redis: store }, ttl })
        return {
          set: (key, value) => bento.set({ key, value }),
          get: key => bento.get({ key }),
          hit: key => bento.getOrSet({ key, factory: load }),
          close: () => bento.disconnectAll(),
        }
      },
    },
    {
      name: 'unstorage',
      options: 'redis driver: url, base, ttl; getItem, setItem, getItems',
      packages: ['unstorage', 'ioredis'],
      async open(url): Promise<Subject> {
        const { createStorage } = await import('unstorage')
        const { default: redisDriver } = await import('unstorage/drivers/redis')
        const storage = createStorage({ driver: redisDriver({ url, base: 'unstorage', ttl: ttl / 1000 }) })
        return {
          set: (key, value) => storage.setItem(key, value as object),
          get: key => storage.getItem(key),
          getMany: async keys => (await storage.getItems([...keys])).map(item => item.value),
          close: () => storage.dispose(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit', than: ioredis, atLeast: 0.95 }],
}

/** Bytes in a server: what the contract of a backend costs over its driver. */
export const redisBytes: Suite = {
  name: 'redis-bytes',
  title: 'Redis: bytes',
  service: 'redis',
  baseline: 'ioredis',
  operations: ['get', 'set', 'getMany'],
  clock: 'wall',
  value: (size, index) => Buffer.from(JSON.stringify(makeValue(size, index))),
  contestants: [
    {
      name: 'ioredis',
      options: 'getBuffer, set PX, mgetBuffer',
      packages: ['ioredis'],
      open: url =>
        bare(url, 'barebyte', (client, key) => ({
          set: (name, value) => client.set(key(name), value as Buffer, 'PX', ttl),
          get: name => client.getBuffer(key(name)),
          getMany: names => client.mgetBuffer(names.map(key)),
        })),
    },
    {
      name: 'cachekit backend',
      options: 'RedisBackend: url, timeout; get, set, getMany',
      packages: ['@cachekit/core', '@cachekit/redis', 'ioredis'],
      async open(url): Promise<Subject> {
        const { RedisBackend } = await import('@cachekit/redis')
        const backend = new RedisBackend({ url, timeout: patience })
        return {
          set: (key, value) => backend.set(key, value as Buffer, { ttl }),
          get: key => backend.get(key),
          getMany: keys => backend.getMany(keys),
          close: () => backend.close(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit backend', than: 'ioredis', atLeast: 0.95 }],
}

/** The driver with its default options. A namespace as long as CacheKit's makes keys of the same length. */
async function bare(
  url: string,
  namespace: string,
  operations: (client: Redis, key: (name: string) => string) => Subject,
): ReturnType<Contestant['open']> {
  const { Redis } = await import('ioredis')
  const client = new Redis(url)
  return { ...operations(client, name => `${namespace}:${name}`), close: () => client.quit() }
}
