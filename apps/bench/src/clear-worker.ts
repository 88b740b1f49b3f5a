// A process of `clear-among-a-million.ts`: does one job, tells its parent how it went, and ends.
import type { BackendOptions, CacheBackend } from '@cachekit/core'
import type { ServiceName } from '@cachekit/testing'

interface Place {
  readonly root: string
  readonly child?: string
  readonly count: number
}

export interface LoadJob extends Place {
  readonly do: 'load'
  readonly store: ServiceName
  readonly url: string
}

export interface ClearJob {
  readonly do: 'clear'
  readonly store: ServiceName
  /** Of the server, through the proxy that counts what `clear()` sends. */
  readonly counted: string
  readonly url: string
  /** Milliseconds. */
  readonly timeout: number
  /** How many entries the namespace has. */
  readonly own: number
  /** What must still be there. */
  readonly others: readonly Place[]
}

export interface Cleared {
  readonly own: number
  readonly milliseconds: number
  /** How much the heap and the process grew at the most, in bytes. */
  readonly heapGrowth: number
  readonly rssGrowth: number
  /** How many of the entries are still there. */
  readonly left: number
  /** How many of a sample of the others are not. */
  readonly lost: number
  /** Of DynamoDB, as it says itself. */
  readonly capacity: Capacity | undefined
}

interface Capacity {
  read: number
  written: number
}

/** `done: 0` of a `clear`: it begins now. */
export type Message = { readonly done: number } | { readonly answer: unknown }

/** Milliseconds between two looks at the memory, each of which collects the garbage first. */
const INTERVAL = 250
/** How many entries go into one `setMany`, and how many of these are under way at a time. */
const CHUNK = 2000
const LANES = 8
const SAMPLE = 2000
const value = Buffer.alloc(100, 'v')

process.once('message', async (job: LoadJob | ClearJob) => {
  try {
    const answer = job.do === 'load' ? await load(job) : await clear(job)
    process.send?.({ answer } satisfies Message)
  } catch (error) {
    console.error(error)
    process.exitCode = 1
  }
  process.disconnect()
})

const keyOf = (index: number): string => `key-${index}`

async function load({ store, url, root, child, count }: LoadJob): Promise<void> {
  const { backend } = await open(store, url, { namespace: root, timeout: 600_000 })
  const view = child === undefined ? backend : backend.namespace(child)
  let next = 0
  let done = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const start = next
      next = Math.min(count, next + CHUNK)
      const length = next - start
      await view.setMany(Array.from({ length }, (_, index) => [keyOf(start + index), value] as const))
      done += length
      process.send?.({ done } satisfies Message)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  await backend.close()
}

async function clear({ store, counted, url, timeout, own, others }: ClearJob): Promise<Cleared> {
  const { backend, capacity } = await open(store, counted, { timeout })
  const view = backend.namespace('own')
  await view.get(keyOf(0))
  Object.assign(capacity ?? {}, { read: 0, written: 0 })
  await new Promise(resolve => process.send?.({ done: 0 } satisfies Message, undefined, undefined, resolve))

  globalThis.gc?.()
  const before = process.memoryUsage()
  const most = { ...before }
  const look = (): void => {
    most.rss = Math.max(most.rss, process.memoryUsage.rss())
    globalThis.gc?.()
    const { heapUsed, rss } = process.memoryUsage()
    most.heapUsed = Math.max(most.heapUsed, heapUsed)
    most.rss = Math.max(most.rss, rss)
  }
  const timer = setInterval(look, INTERVAL)
  const start = performance.now()
  await view.clear()
  const milliseconds = performance.now() - start
  look()
  clearInterval(timer)
  const used = capacity && { ...capacity }

  await backend.close()

  const left = await found(store, url, { root: 'cachekit', child: 'own', count: own }, own)
  let lost = 0
  for (const place of others) {
    const sample = Math.min(place.count, SAMPLE)
    lost += sample - (await found(store, url, place, sample))
  }
  const heapGrowth = most.heapUsed - before.heapUsed
  return { own, milliseconds, heapGrowth, rssGrowth: most.rss - before.rss, left, lost, capacity: used }
}

/** How many of a sample of the entries in this place are there. */
async function found(store: ServiceName, url: string, { root, child, count }: Place, sample: number): Promise<number> {
  const { backend } = await open(store, url, { namespace: root, timeout: 60_000 })
  const view = child === undefined ? backend : backend.namespace(child)
  const keys = Array.from({ length: sample }, (_, index) => keyOf(Math.floor((index * count) / sample)))
  const values = await view.getMany(keys)
  await backend.close()
  return values.filter(each => each !== undefined).length
}

interface Opened {
  readonly backend: CacheBackend
  readonly capacity?: Capacity
}

/** Only the driver of this store is loaded: it is memory, too. */
async function open(store: ServiceName, url: string, options: BackendOptions): Promise<Opened> {
  switch (store) {
    case 'redis':
      return { backend: new (await import('@cachekit/redis')).RedisBackend({ url, ...options }) }
    case 'postgres':
      return { backend: new (await import('@cachekit/postgres')).PostgresBackend({ url, ...options }) }
    case 'memcached': {
      const { MemcachedBackend } = await import('@cachekit/memcached')
      return { backend: new MemcachedBackend({ servers: new URL(url).host, ...options }) }
    }
    case 'mongodb':
      return { backend: new (await import('@cachekit/mongodb')).MongoDBBackend({ url, ...options }) }
    case 'firestore': {
      // The driver looks for the machines of Google Cloud otherwise.
      process.env.METADATA_SERVER_DETECTION = 'none'
      const { FirestoreBackend } = await import('@cachekit/firestore')
      const clientOptions = { host: new URL(url).host, ssl: false }
      return { backend: new FirestoreBackend({ projectId: 'bench', clientOptions, ...options }) }
    }
    case 'dynamodb':
      return openDynamoDB(url, options)
  }
}

/** With a client that asks, and adds up, what every command consumes. */
async function openDynamoDB(endpoint: string, options: BackendOptions): Promise<Opened> {
  const { DynamoDBBackend } = await import('@cachekit/dynamodb')
  const { DynamoDBClient } = await import('@aws-sdk/client-dynamodb')
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const client = new DynamoDBClient({ endpoint, region: 'us-east-1', credentials })
  const capacity = { read: 0, written: 0 }
  type Consumed = { ConsumedCapacity?: { CapacityUnits?: number } | { CapacityUnits?: number }[] }
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async args => {
        const answer = await next({ ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } as never })
        const { ConsumedCapacity = [] } = answer.output as Consumed
        const units = [ConsumedCapacity].flat().reduce((sum, { CapacityUnits = 0 }) => sum + CapacityUnits, 0)
        capacity[/Query|Get/.test(commandName) ? 'read' : 'written'] += units
        return answer
      },
    { step: 'initialize' },
  )
  const backend = new DynamoDBBackend({ client, ...options })
  const close = backend.close.bind(backend)
  return { backend: Object.assign(backend, { close: () => close().finally(() => client.destroy()) }), capacity }
}
