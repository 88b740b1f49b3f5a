import type { AttributeValue, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { defaultRecords } from '../cachekit-records.ts'
import type { Contestant, Subject, Suite } from '../suite.ts'
import { load, makeValue, patience, ttl } from '../workload.ts'

const sdk = 'AWS SDK, same encoding'
/** DynamoDB Local takes any. */
const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
const region = 'us-east-1'

/** Objects in a table: what an application calls. */
export const dynamodb: Suite = {
  name: 'dynamodb',
  title: 'DynamoDB Local: objects',
  service: 'dynamodb',
  keys: 200,
  rounds: 11,
  baseline: sdk,
  operations: ['get', 'set', 'getMany', 'hit'],
  clock: 'wall',
  contestants: [
    {
      name: sdk,
      options: "GetItem, PutItem, BatchGetItem, all strongly consistent; @cachekit/core's own record format",
      packages: ['@aws-sdk/client-dynamodb'],
      async open(url) {
        const { encode, decode } = await defaultRecords()
        return bare(url, 'recorded', ({ get, set, getMany }) => ({
          set: (name, value) => set(name, encode(value)),
          get: async name => decode(await get(name)),
          hit: async name => decode(await get(name)),
          getMany: async names => (await getMany(names)).map(bytes => decode(bytes)),
        }))
      },
    },
    {
      name: 'cachekit',
      options: 'DynamoDBBackend: endpoint, timeout; get, set, getMany, getOrSet',
      packages: ['@cachekit/core', '@cachekit/dynamodb', '@aws-sdk/client-dynamodb'],
      async open(endpoint): Promise<Subject> {
        const { createCache } = await import('@cachekit/core')
        const { DynamoDBBackend } = await import('@cachekit/dynamodb')
        const backend = new DynamoDBBackend({ endpoint, region, clientOptions: { credentials }, timeout: patience })
        const cache = createCache({ backend, ttl, storeTimeout: patience })
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
      name: 'bentocache',
      options: 'dynamoDbDriver: no memory tier; get, set, getOrSet; reads are eventually consistent',
      packages: ['bentocache', '@aws-sdk/client-dynamodb'],
      async open(endpoint): Promise<Subject> {
        const { BentoCache, bentostore } = await import('bentocache')
        const { dynamoDbDriver } = await import('bentocache/drivers/dynamodb')
        const table = await createTable(endpoint, 'bentocache', 'key')
        const store = bentostore().useL2Layer(dynamoDbDriver({ endpoint, region, credentials, table: { name: table } }))
        const bento = new BentoCache({ default: 'dynamodb', stores: { dynamodb: store }, ttl })
        return {
          set: (key, value) => bento.set({ key, value }),
          get: key => bento.get({ key }),
          hit: key => bento.getOrSet({ key, factory: load }),
          close: () => bento.disconnectAll(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit', than: sdk, atLeast: 0.95 }],
}

/** Bytes in a table: what the contract of a backend costs over its driver. */
export const dynamodbBytes: Suite = {
  name: 'dynamodb-bytes',
  title: 'DynamoDB Local: bytes',
  service: 'dynamodb',
  keys: 200,
  rounds: 11,
  baseline: 'AWS SDK',
  operations: ['get', 'set', 'getMany'],
  clock: 'wall',
  value: (size, index) => Buffer.from(JSON.stringify(makeValue(size, index))),
  contestants: [
    {
      name: 'AWS SDK',
      options: 'GetItem, PutItem, BatchGetItem, all strongly consistent',
      packages: ['@aws-sdk/client-dynamodb'],
      open: url =>
        bare(url, 'barebyte', ({ get, set, getMany }) => ({
          set: (name, value) => set(name, value as Buffer),
          get,
          getMany,
        })),
    },
    {
      name: 'cachekit backend',
      options: 'DynamoDBBackend: endpoint, timeout; get, set, getMany',
      packages: ['@cachekit/core', '@cachekit/dynamodb', '@aws-sdk/client-dynamodb'],
      async open(endpoint): Promise<Subject> {
        const { DynamoDBBackend } = await import('@cachekit/dynamodb')
        const backend = new DynamoDBBackend({ endpoint, region, clientOptions: { credentials }, timeout: patience })
        return {
          set: (key, value) => backend.set(key, value as Buffer, { ttl }),
          get: async key => toBuffer(await backend.get(key)),
          getMany: async keys => (await backend.getMany(keys)).map(toBuffer),
          close: () => backend.close(),
        }
      },
    },
  ],
  budgets: [{ contestant: 'cachekit backend', than: 'AWS SDK', atLeast: 0.95 }],
}

/** Of one BatchGetItem. */
const MOST_KEYS = 100

interface Bare {
  set(name: string, value: Uint8Array): Promise<unknown>
  get(name: string): Promise<Buffer>
  /** In the order of the names, which BatchGetItem does not keep. */
  getMany(names: readonly string[]): Promise<Buffer[]>
}

/** The SDK with its default options, on a table with one key and the attributes that CacheKit writes. */
async function bare(
  endpoint: string,
  table: string,
  operations: (client: Bare) => Subject,
): ReturnType<Contestant['open']> {
  const { BatchGetItemCommand, DynamoDBClient, GetItemCommand, PutItemCommand } = await import(
    '@aws-sdk/client-dynamodb'
  )
  const client = new DynamoDBClient({ endpoint, region, credentials })
  await createTable(endpoint, table, 'pk')
  const item = (name: string, value: Uint8Array): Record<string, AttributeValue> => {
    const expiresAt = Date.now() + ttl
    const seconds = Math.ceil(expiresAt / 1000)
    return { pk: { S: name }, value: { B: value }, expiresAt: { N: `${expiresAt}` }, ttl: { N: `${seconds}` } }
  }
  return {
    ...operations({
      set: (name, value) => client.send(new PutItemCommand({ TableName: table, Item: item(name, value) })),
      async get(name) {
        const key = { TableName: table, Key: { pk: { S: name } }, ConsistentRead: true }
        return toBuffer((await client.send(new GetItemCommand(key))).Item?.value?.B)
      },
      async getMany(names) {
        const values = new Map<string | undefined, Uint8Array | undefined>()
        // More than are timed at once come when the answers of a library are checked.
        for (let start = 0; start < names.length; start += MOST_KEYS) {
          const Keys = names.slice(start, start + MOST_KEYS).map(name => ({ pk: { S: name } }))
          const { Responses } = await client.send(
            new BatchGetItemCommand({ RequestItems: { [table]: { Keys, ConsistentRead: true } } }),
          )
          for (const found of Responses?.[table] ?? []) values.set(found.pk?.S, found.value?.B)
        }
        return names.map(name => toBuffer(values.get(name)))
      },
    }),
    close: () => client.destroy(),
  }
}

/** A table with a partition key and nothing else, under its name. */
async function createTable(endpoint: string, name: string, key: string): Promise<string> {
  const { CreateTableCommand, DynamoDBClient } = await import('@aws-sdk/client-dynamodb')
  const client: DynamoDBClient = new DynamoDBClient({ endpoint, region, credentials })
  const create = new CreateTableCommand({
    TableName: name,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [{ AttributeName: key, AttributeType: 'S' }],
    KeySchema: [{ AttributeName: key, KeyType: 'HASH' }],
  })
  await client.send(create).catch((error: Error) => {
    if (error.name !== 'ResourceInUseException') throw error
  })
  client.destroy()
  return name
}

/** The SDK gives plain arrays of bytes. */
function toBuffer(bytes: Uint8Array | undefined): Buffer {
  return bytes === undefined ? Buffer.alloc(0) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
