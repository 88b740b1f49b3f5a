import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import {
  type AttributeValue,
  CreateTableCommand,
  DeleteTableCommand,
  DescribeTimeToLiveCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  PutItemCommand,
  ScanCommand,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb'
import { type CacheBackend, CacheError } from '@cachekit/core'
import { describeService, FaultProxy, runScript, type Server, startServer } from '@cachekit/testing'
import { DynamoDBBackend, type DynamoDBBackendOptions } from '../src/index.ts'
import { local } from './fixtures/local.ts'
import { type RewritingProxy, refusal, startRewritingProxy } from './fixtures/rewriting-proxy.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value)
const range = (length: number): string[] => Array.from({ length }, (_, index) => `key-${index}`)

/** What `call` rejects with. */
async function errorOf(call: Promise<unknown>): Promise<CacheError> {
  const error = await call.then(
    value => new Error(`resolved: ${inspect(value)}`),
    reason => reason,
  )
  if (error instanceof CacheError) return error
  throw error
}

/** All that a logger could print of an error. */
const printed = (error: unknown): string => inspect(error, { depth: 10, showHidden: true, maxStringLength: null })

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

function open(options: DynamoDBBackendOptions): DynamoDBBackend {
  const backend = new DynamoDBBackend(options)
  opened.push(backend)
  return backend
}

/** A client that looks into the server beside the backend. */
function bare(url: string, options: DynamoDBClientConfig = {}): DynamoDBClient {
  const { clientOptions, ...place } = local(url) as DynamoDBBackendOptions
  const client = new DynamoDBClient({ ...clientOptions, ...place, ...options } as DynamoDBClientConfig)
  opened.push({ close: async () => client.destroy() })
  return client
}

describeService('dynamodb', () => {
  let server: Server
  let client: DynamoDBClient
  let backend: DynamoDBBackend

  // One of its own: these cases look at whole tables.
  beforeAll(async () => {
    server = await startServer('dynamodb')
  }, 60_000)
  afterAll(() => server.close())
  beforeEach(async () => {
    client = bare(server.url)
    await client.send(new DeleteTableCommand({ TableName: 'cachekit' })).catch(() => {})
    backend = open(local(server.url))
    await backend.open()
  })

  /** All items of the table. */
  async function items(): Promise<Record<string, AttributeValue>[]> {
    return (await client.send(new ScanCommand({ TableName: 'cachekit' }))).Items ?? []
  }

  async function proxied(): Promise<RewritingProxy> {
    const proxy = await startRewritingProxy(server.url)
    opened.push(proxy)
    return proxy
  }

  describe('the storage layout', () => {
    test('an entry is an item under namespace#shard and the rest of its id', async () => {
      const now = Date.now()
      await backend.set('a b', bytes('välue'))
      await backend.namespace('users').set('42', bytes('Ada'), { ttl: 1000.5 })
      await backend.increment('visits', 41)
      const stored = (await items()).sort((a, b) => (`${a.sk?.S}` < `${b.sk?.S}` ? -1 : 1))
      expect(stored).toEqual([
        {
          pk: { S: 'cachekit#11' },
          sk: { S: '@users:42' },
          value: { B: bytes('Ada') },
          expiresAt: { N: expect.any(String) },
          ttl: { N: expect.any(String) },
        },
        { pk: { S: 'cachekit#08' }, sk: { S: 'a b' }, value: { B: bytes('välue') } },
        { pk: { S: 'cachekit#25' }, sk: { S: 'visits' }, value: { N: '41' } },
      ])
      const { expiresAt, ttl } = stored[0] as { expiresAt: { N: string }; ttl: { N: string } }
      expect(Number(expiresAt.N)).toBeGreaterThanOrEqual(now + 1001)
      expect(Number(expiresAt.N)).toBeLessThan(now + 3000)
      // DynamoDB counts in seconds and by its own clock: an hour later than the deadline, never earlier.
      expect(Number(ttl.N)).toBe(Math.ceil(Number(expiresAt.N) / 1000) + 3600)
    })

    test('what an earlier release wrote is read', async () => {
      const golden: Record<string, AttributeValue>[] = [
        { pk: { S: 'cachekit#08' }, sk: { S: 'a b' }, value: { B: bytes('välue') } },
        { pk: { S: 'cachekit#25' }, sk: { S: 'visits' }, value: { N: '41' } },
        {
          pk: { S: 'cachekit#11' },
          sk: { S: '@users:42' },
          value: { B: bytes('Ada') },
          expiresAt: { N: '32503680000000' },
          ttl: { N: '32503683600' },
        },
      ]
      for (const Item of golden) await client.send(new PutItemCommand({ TableName: 'cachekit', Item }))
      expect((await backend.getMany(['a b', 'visits'])).map(text)).toEqual(['välue', '41'])
      const entry = await backend.namespace('users').getEntry('42')
      expect([text(entry?.value), entry?.ttl]).toEqual(['Ada', expect.any(Number)])
      expect(await backend.increment('visits')).toBe(42)
    })

    test('a key that is too long for a sort key is hashed, and kept for keys()', async () => {
      const long = `${'x'.repeat(1100)}1`
      await backend.set(long, bytes('1'))
      await backend.set(`${'x'.repeat(1100)}2`, bytes('2'))
      expect(text(await backend.get(long))).toBe('1')
      for (const item of await items()) {
        expect(item.sk?.S).toMatch(/^@#[\w-]{43}$/)
        expect(item.id?.S).toMatch(/^cachekit:x{1100}[12]$/)
      }
      const keys: string[] = []
      for await (const key of backend.keys()) keys.push(key)
      expect(keys.sort()).toEqual([long, `${'x'.repeat(1100)}2`])
    })

    test('the entries of a namespace spread over 32 partition keys', async () => {
      await backend.setMany(range(500).map(key => [key, bytes('1')]))
      const shards = new Set((await items()).map(item => item.pk?.S))
      expect([...shards].sort()).toEqual(range(32).map((_, shard) => `cachekit#${String(shard).padStart(2, '0')}`))
    })
  })

  describe('the deadline of an entry', () => {
    const wrote = async (): Promise<{ expiresAt: number; ttl: number }> => {
      const [item] = await items()
      return { expiresAt: Number(item?.expiresAt?.N), ttl: Number(item?.ttl?.N) }
    }

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'), { ttl: 12_345 })],
      ['setMany', b => b.setMany([['k', bytes('1'), { ttl: 12_345 }]])],
      ['add', b => b.add('k', bytes('1'), { ttl: 12_345 })],
      ['increment of a new counter', b => b.increment('k', 1, { ttl: 12_345 })],
      [
        'compareAndSet',
        b => b.set('k', bytes('0')).then(() => b.compareAndSet('k', bytes('0'), bytes('1'), { ttl: 12_345 })),
      ],
      ['touch', b => b.set('k', bytes('1')).then(() => b.touch('k', { ttl: 12_345 }))],
    ])('is set by %s, exactly and for DynamoDB', async (_name, write) => {
      const now = 1_000_000_000_000
      await write(open({ ...local(server.url), now: () => now }))
      const { expiresAt, ttl } = await wrote()
      expect(expiresAt).toBe(now + 12_345)
      // However wrong the caller's clock is, DynamoDB's own deletes nothing early.
      expect(ttl).toBeGreaterThan(Date.now() / 1000 + 3600)
      expect(ttl).toBeLessThan(Date.now() / 1000 + 3700)
    })

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'))],
      ['setMany', b => b.setMany([['k', bytes('1')]])],
      ['compareAndSet', b => b.compareAndSet('k', bytes('1'), bytes('2'))],
      ['touch', b => b.touch('k', { ttl: undefined })],
    ])('is taken away by %s without a ttl', async (_name, write) => {
      await backend.set('k', bytes('1'), { ttl: 60_000 })
      await write(backend)
      expect(await wrote()).toEqual({ expiresAt: Number.NaN, ttl: Number.NaN })
    })

    test('is kept by increment of a counter that is there', async () => {
      await backend.increment('k', 1, { ttl: 60_000 })
      const before = await wrote()
      await backend.increment('k', 1, { ttl: 1 })
      expect(await wrote()).toEqual(before)
    })
  })

  describe('each operation in DynamoDB’s own form', () => {
    const keys = range(100)
    test.each<[string, (b: CacheBackend) => Promise<unknown>, Record<string, number>]>([
      ['get', b => b.get('k'), { GetItem: 1 }],
      ['getEntry', b => b.getEntry('k'), { GetItem: 1 }],
      ['has', b => b.has('k'), { GetItem: 1 }],
      ['set', b => b.set('k', bytes('1')), { PutItem: 1 }],
      ['add', b => b.add('k', bytes('1')), { PutItem: 1 }],
      ['compareAndSet', b => b.compareAndSet('k', bytes('1'), bytes('2')), { PutItem: 1 }],
      ['compareAndDelete', b => b.compareAndDelete('k', bytes('1')), { DeleteItem: 1 }],
      ['increment', b => b.increment('n'), { UpdateItem: 1 }],
      ['increment of a new counter', b => b.increment('new'), { UpdateItem: 1, GetItem: 1, PutItem: 1 }],
      ['touch', b => b.touch('k', { ttl: 1000 }), { UpdateItem: 1 }],
      ['delete', b => b.delete('k'), { DeleteItem: 1 }],
      ['getMany of 100', b => b.getMany(keys), { BatchGetItem: 1 }],
      ['getMany of 101', b => b.getMany(range(101)), { BatchGetItem: 2 }],
      ['setMany of 100', b => b.setMany(keys.map(key => [key, bytes('1')])), { BatchWriteItem: 4 }],
      ['deleteMany of 100', b => b.deleteMany(keys), { BatchWriteItem: 4 }],
      ['clear of nothing', b => b.namespace('empty').clear(), { Query: 32 }],
    ])('%s', async (_name, call, requests) => {
      const proxy = await proxied()
      const distant = open(local(proxy.url))
      await distant.set('k', bytes('1'))
      await distant.set('n', bytes('1'))
      proxy.requests = {}
      await call(distant)
      expect(proxy.requests).toEqual(requests)
    })

    test('opening looks for the table and its TTL, and without provision reads one item', async () => {
      const proxy = await proxied()
      await open(local(proxy.url)).open()
      expect(proxy.requests).toEqual({ DescribeTable: 1, DescribeTimeToLive: 1 })
      proxy.requests = {}
      await open({ ...local(proxy.url), provision: false }).open()
      expect(proxy.requests).toEqual({ GetItem: 1 })
    })

    test('reads are strongly consistent unless said otherwise, and clear() always is', async () => {
      const proxy = await proxied()
      for (const reads of ['strong', 'eventual'] as const) {
        const reader = open({ ...local(proxy.url), reads })
        await reader.set('k', bytes('1'))
        const consistent: unknown[] = []
        proxy.rewrite = (_action, request, forward) => {
          const inner = request.RequestItems?.cachekit ?? request
          if ('ConsistentRead' in inner) consistent.push(inner.ConsistentRead)
          return forward(request)
        }
        await reader.get('k')
        await reader.has('k')
        await reader.getMany(['k'])
        for await (const _ of reader.keys());
        expect(consistent).toEqual(Array(35).fill(reads === 'strong'))
        consistent.length = 0
        await reader.namespace('n').clear()
        expect(consistent).toEqual(Array(32).fill(true))
        proxy.rewrite = undefined
      }
    })
  })

  describe('clear reads nothing but its own namespace', () => {
    test('and so costs the same however much else is in the table', async () => {
      const block = new Uint8Array(4000)
      const other = open({ ...local(server.url), namespace: 'other' })
      await other.setMany(range(300).map(key => [key, block]))
      await backend.setMany(range(300).map(key => [key, block]))
      await backend.namespace('users2').setMany(range(300).map(key => [key, block]))

      let read = 0
      let written = 0
      const metered = bare(server.url)
      metered.middlewareStack.add(
        next => async args => {
          Object.assign(args.input, { ReturnConsumedCapacity: 'TOTAL' })
          const result = await next(args)
          const { ConsumedCapacity } = result.output as { ConsumedCapacity?: { CapacityUnits: number } }
          for (const each of [ConsumedCapacity ?? []].flat()) {
            if ('Key' in args.input || 'KeyConditionExpression' in args.input) read += each.CapacityUnits
            else written += each.CapacityUnits
          }
          return result
        },
        { step: 'initialize' },
      )
      const mine = open({ client: metered, provision: false })
      const users = mine.namespace('users')
      await users.setMany(range(10).map(key => [key, bytes('1')]))
      await users.open()
      read = 0
      written = 0
      await users.clear()
      // One unit for each of the 32 queries, and one for each of the 10 deletions: 900 others of 4 KB each are not read.
      expect(read).toBeGreaterThan(0)
      expect(read).toBeLessThanOrEqual(32)
      expect(written).toBe(10)
      expect((await client.send(new ScanCommand({ TableName: 'cachekit', Select: 'COUNT' }))).Count).toBeGreaterThan(0)
      expect((await mine.namespace('users2').getMany(range(300))).every(value => value?.byteLength === 4000)).toBe(true)
      expect((await mine.getMany(range(300))).every(value => value?.byteLength === 4000)).toBe(true)
      expect((await other.getMany(range(300))).every(value => value?.byteLength === 4000)).toBe(true)
    }, 30_000)
  })

  describe('the 400 KB of an item', () => {
    /** Every byte of the item but those of its value, as DynamoDB documents to count them. */
    const beside = (sortKey: string): number =>
      'pk'.length + 'cachekit#00'.length + 'sk'.length + sortKey.length + 'value'.length

    test.each<[string, DynamoDBBackendOptions, string, number | undefined, number]>([
      ['a short key', {}, 'k', undefined, 409_600 - beside('k')],
      ['a long key', {}, 'k'.repeat(1000), undefined, 409_600 - beside('k'.repeat(1000))],
      ['a ttl', {}, 'k', 60_000, 409_600 - beside('k') - 'expiresAt'.length - 8 - 'ttl'.length - 6],
      [
        'a hashed key',
        {},
        'k'.repeat(8000),
        undefined,
        409_600 - beside(`@#${'h'.repeat(43)}`) - 'id'.length - 'cachekit:'.length - 8000,
      ],
    ])('are filled to the last byte with %s, and not one more is sent', async (_what, options, key, ttl, most) => {
      const proxy = await proxied()
      const mine = open({ ...local(proxy.url), ...options, timeout: 10_000 })
      await mine.set(key, new Uint8Array(most), { ttl })
      expect((await mine.get(key))?.byteLength).toBe(most)
      proxy.requests = {}
      const tooLarge = new Uint8Array(most + 1)
      for (const call of [
        () => mine.set(key, tooLarge, { ttl }),
        () => mine.add(key, tooLarge, { ttl }),
        () =>
          mine.setMany([
            ['other', bytes('1')],
            [key, tooLarge, { ttl }],
          ]),
        () => mine.compareAndSet(key, bytes('1'), tooLarge, { ttl }),
      ]) {
        expect(await errorOf(call())).toMatchObject({ code: 'CACHE_VALUE_TOO_LARGE', outcome: 'not-applied' })
      }
      expect(proxy.requests).toEqual({})
      // DynamoDB itself agrees.
      const [item] = await items()
      const larger = { ...item, value: { B: tooLarge } }
      await expect(client.send(new PutItemCommand({ TableName: 'cachekit', Item: larger }))).rejects.toThrow(/size/)
    })

    test('supports.maxValueBytes is what the shortest key leaves', () => {
      expect(backend.supports.maxValueBytes).toBe(409_600 - beside('k'))
    })

    test('a deadline that does not fit any more is refused', async () => {
      await backend.set('k', new Uint8Array(backend.supports.maxValueBytes))
      const error = await errorOf(backend.touch('k', { ttl: 1000 }))
      expect(error).toMatchObject({ code: 'CACHE_VALUE_TOO_LARGE', outcome: 'not-applied' })
    })

    test('a value that could never be stored equals none', async () => {
      const huge = new Uint8Array(1_000_000)
      expect(await backend.compareAndSet('k', huge, bytes('1'))).toBe(false)
      expect(await backend.compareAndDelete('k', huge)).toBe(false)
    })

    test('batches larger than 16 MB are read in parts', async () => {
      const keys = range(60)
      const block = new Uint8Array(400_000)
      const large = open({ ...local(server.url), timeout: 20_000 })
      await large.setMany(keys.map(key => [key, block]))
      const values = await large.getMany(keys)
      expect(values.map(value => value?.byteLength)).toEqual(keys.map(() => 400_000))
    }, 60_000)
  })

  describe('what DynamoDB leaves unprocessed', () => {
    const keys = range(40)
    const entries = keys.map(key => [key, bytes(key)] as const)

    test('of a write is sent again, and nothing else is', async () => {
      const proxy = await proxied()
      const distant = open(local(proxy.url))
      await distant.open()
      const sent: string[] = []
      proxy.rewrite = async (_action, { RequestItems }, forward) => {
        const requests = RequestItems.cachekit
        const taken = requests.slice(0, Math.ceil(requests.length / 2))
        for (const { PutRequest } of taken) sent.push(PutRequest.Item.sk.S)
        const reply = await forward({ RequestItems: { cachekit: taken } })
        const left = requests.slice(taken.length)
        return { ...reply, body: { UnprocessedItems: left.length > 0 ? { cachekit: left } : {} } }
      }
      await distant.setMany(entries)
      expect(sent.sort()).toEqual([...keys].sort())
      expect(proxy.requests.BatchWriteItem).toBeGreaterThan(6)
      expect((await backend.getMany(keys)).map(text)).toEqual(keys)
    })

    test('of a read is asked for again', async () => {
      const proxy = await proxied()
      const distant = open(local(proxy.url))
      await distant.setMany(entries)
      proxy.rewrite = async (_action, request, forward) => {
        const { status, body } = await forward(request)
        const all = body.Responses.cachekit
        const left = all.splice(Math.ceil(all.length / 2)).map(({ pk, sk }: never) => ({ pk, sk }))
        return { status, body: { ...body, UnprocessedKeys: left.length > 0 ? { cachekit: { Keys: left } } : {} } }
      }
      expect((await distant.getMany([...keys, 'absent'])).map(text)).toEqual([...keys, undefined])
      expect(proxy.requests.BatchGetItem).toBeGreaterThan(4)
    })

    test('of clear() is deleted in the end', async () => {
      const proxy = await proxied()
      const distant = open({ ...local(proxy.url), timeout: 20_000 })
      await distant.setMany(entries)
      proxy.rewrite = async (action, request, forward) => {
        if (action !== 'BatchWriteItem') return forward(request)
        const [first, ...left] = request.RequestItems.cachekit
        const reply = await forward({ RequestItems: { cachekit: [first] } })
        return { ...reply, body: { UnprocessedItems: left.length > 0 ? { cachekit: left } : {} } }
      }
      await distant.clear()
      expect(await items()).toEqual([])
    })

    test.each<[string, (b: CacheBackend) => Promise<unknown>, string | undefined]>([
      ['getMany', b => b.getMany(keys), undefined],
      ['setMany', b => b.setMany(entries), 'not-applied'],
      ['deleteMany', b => b.deleteMany(keys), 'not-applied'],
    ])('for ever makes %s name it, within the timeout', async (_name, call, outcome) => {
      const proxy = await proxied()
      const distant = open({ ...local(proxy.url), timeout: 1500.5 })
      await distant.setMany(entries)
      const stubborn = 'key-7'
      const isStubborn = (each: never): boolean => JSON.stringify(each).includes(`"${stubborn}"`)
      proxy.rewrite = async (action, { RequestItems }, forward) => {
        const reads = action === 'BatchGetItem'
        const all: never[] = reads ? RequestItems.cachekit.Keys : RequestItems.cachekit
        const taken = all.filter(each => !isStubborn(each))
        const left = all.filter(isStubborn)
        const parts = (some: never[]): unknown => ({ cachekit: reads ? { Keys: some } : some })
        const { body } = taken.length > 0 ? await forward({ RequestItems: parts(taken) }) : { body: {} }
        const unprocessed = left.length > 0 ? parts(left) : {}
        return { status: 200, body: { ...body, [reads ? 'UnprocessedKeys' : 'UnprocessedItems']: unprocessed } }
      }
      const start = performance.now()
      const error = await errorOf(call(distant))
      expect(performance.now() - start).toBeLessThan(1800)
      expect(error).toMatchObject({ code: 'CACHE_BATCH_FAILED', keys: [stubborn] })
      expect(error.outcome).toBe(outcome)
      expect(proxy.requests.BatchGetItem ?? proxy.requests.BatchWriteItem).toBeGreaterThan(4)
    })
  })

  describe('a throttled table', () => {
    test.each(['ProvisionedThroughputExceededException', 'ThrottlingException', 'RequestLimitExceeded'])(
      'is asked again after %s, also to write',
      async name => {
        const proxy = await proxied()
        const distant = open(local(proxy.url))
        await distant.open()
        let refused = 0
        proxy.rewrite = async (_action, request, forward) => (++refused <= 2 ? refusal(name) : forward(request))
        expect(await distant.increment('n')).toBe(1)
        refused = 0
        expect(text(await distant.get('n'))).toBe('1')
      },
    )

    test('that stays so is reported before the timeout, and nothing was applied', async () => {
      const proxy = await proxied()
      const distant = open({ ...local(proxy.url), timeout: 1000 })
      await distant.open()
      proxy.rewrite = async () => refusal('ProvisionedThroughputExceededException')
      for (const call of [distant.set('k', bytes('1')), distant.getMany(['k']), distant.clear()]) {
        const start = performance.now()
        const error = await errorOf(call)
        expect(performance.now() - start).toBeLessThan(1000)
        expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', retryable: true })
        expect(error.message).toContain('throttles')
      }
      expect(await items()).toEqual([])
    })
  })

  describe('what AWS refuses', () => {
    const failed = { code: 'CACHE_BACKEND_FAILED', retryable: false, outcome: 'not-applied' }
    const unavailable = { code: 'CACHE_UNAVAILABLE', retryable: true, outcome: 'not-applied' }
    test.each<[string, number, object]>([
      ['ResourceNotFoundException', 400, failed],
      ['TableNotFoundException', 400, failed],
      ['InvalidClientTokenId', 400, failed],
      ['IncompleteSignatureException', 400, failed],
      ['MissingAuthenticationTokenException', 400, failed],
      ['OptInRequired', 400, failed],
      ['ResourceInUseException', 400, unavailable],
      ['ReplicatedWriteConflictException', 400, unavailable],
      ['LimitExceededException', 400, unavailable],
      ['AccessDeniedException', 400, failed],
      ['UnrecognizedClientException', 400, failed],
      ['InvalidSignatureException', 400, failed],
      ['ExpiredTokenException', 400, { code: 'CACHE_BACKEND_FAILED', retryable: true, outcome: 'not-applied' }],
      ['ValidationException', 400, failed],
      ['TransactionConflictException', 400, unavailable],
      ['SomethingNewException', 400, failed],
      ['InternalServerError', 500, { code: 'CACHE_UNAVAILABLE', retryable: true, outcome: 'unknown' }],
      ['ServiceUnavailable', 503, { code: 'CACHE_UNAVAILABLE', retryable: true, outcome: 'unknown' }],
    ])('%s is sent once and told', async (name, status, expected) => {
      const proxy = await proxied()
      const distant = open(local(proxy.url))
      await distant.open()
      proxy.requests = {}
      proxy.rewrite = async () => refusal(name, name, status)
      const error = await errorOf(distant.set('k', bytes('the-secret-value')))
      expect(error).toMatchObject(expected)
      expect(error.message).not.toBe('')
      expect(printed(error)).toContain(name)
      expect(printed(error)).not.toMatch(/the-secret-value|dGhlLXNlY3JldC12YWx1ZQ/)
      expect(proxy.requests).toEqual({ PutItem: 1 })
    })

    test('a failure of the service is not the end of a read', async () => {
      const proxy = await proxied()
      const distant = open(local(proxy.url))
      await distant.set('k', bytes('1'))
      let failed = 0
      proxy.rewrite = async (_action, request, forward) =>
        ++failed <= 2 ? refusal('InternalServerError', 'x', 500) : forward(request)
      expect(text(await distant.get('k'))).toBe('1')
    })

    test.each(['<html>Welcome to the hotel</html>', '{"Item":', '[]', 'null'])(
      'an answer that is not one of DynamoDB fails the call only: %s',
      async body => {
        const proxy = await proxied()
        const distant = open(local(proxy.url))
        await distant.set('k', bytes('1'))
        proxy.rewrite = async () => ({ status: 200, body })
        const answer = await distant.get('k').catch(error => error)
        if (answer !== undefined) expect(answer).toBeInstanceOf(CacheError)
        proxy.rewrite = undefined
        expect(text(await distant.get('k'))).toBe('1')
      },
    )

    test('an answer of something in between, which gives no name of DynamoDB, is none of DynamoDB', async () => {
      const proxy = await proxied()
      const distant = open(local(proxy.url))
      await distant.open()
      proxy.rewrite = async () => ({ status: 403, body: '<html>Blocked</html>' })
      const error = await errorOf(distant.set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', retryable: true })
      expect(error.message).toContain('does not speak the protocol')
    })

    test('a time limit of the request handler is CACHE_TIMEOUT, and a write may have been applied', async () => {
      const proxy = await proxied()
      const { clientOptions, ...place } = local(proxy.url)
      const distant = open({ ...place, clientOptions: { ...clientOptions, requestHandler: { socketTimeout: 300 } } })
      await distant.open()
      proxy.rewrite = async (_action, request, forward) => {
        const reply = await forward(request)
        await new Promise(resolve => setTimeout(resolve, 600))
        return reply
      }
      const error = await errorOf(distant.set('k', bytes('1')))
      expect(error).toMatchObject({ code: 'CACHE_TIMEOUT', outcome: 'unknown', retryable: true })
      expect(text(await backend.get('k'))).toBe('1')
    })

    test('a missing table, without provision, is told and not created', async () => {
      const lost = open({ ...local(server.url), table: 'nowhere', provision: false })
      for (const call of [() => lost.open(), () => lost.get('k'), () => lost.set('k', bytes('1'))]) {
        const error = await errorOf(call())
        expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false })
        expect(error.message).toContain('no such table')
      }
    })

    test('a table that was deleted is created again', async () => {
      await backend.set('k', bytes('1'))
      await client.send(new DeleteTableCommand({ TableName: 'cachekit' }))
      await errorOf(backend.get('k'))
      expect(await backend.get('k')).toBeUndefined()
    })

    test('a table with other keys is told', async () => {
      await client.send(
        new CreateTableCommand({
          TableName: 'foreign',
          BillingMode: 'PAY_PER_REQUEST',
          AttributeDefinitions: [{ AttributeName: 'uuid', AttributeType: 'S' }],
          KeySchema: [{ AttributeName: 'uuid', KeyType: 'HASH' }],
        }),
      )
      for (const provision of [true, false]) {
        const error = await errorOf(open({ ...local(server.url), table: 'foreign', provision }).get('k'))
        expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED' })
        expect(error.message).toContain('not one of CacheKit')
      }
    })
  })

  describe('TTL of the table', () => {
    const status = async (): Promise<unknown> =>
      (await client.send(new DescribeTimeToLiveCommand({ TableName: 'cachekit' }))).TimeToLiveDescription

    test('is switched on, also where the table was there before', async () => {
      expect(await status()).toEqual({ TimeToLiveStatus: 'ENABLED', AttributeName: 'ttl' })
      await client.send(
        new UpdateTimeToLiveCommand({
          TableName: 'cachekit',
          TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: false },
        }),
      )
      expect(await status()).toMatchObject({ TimeToLiveStatus: 'DISABLED' })
      await open(local(server.url)).open()
      expect(await status()).toMatchObject({ TimeToLiveStatus: 'ENABLED' })
    })

    test.each(['DescribeTimeToLive', 'UpdateTimeToLive'])('that may not be seen to by %s is told', async denied => {
      const proxy = await proxied()
      proxy.rewrite = async (action, request, forward) =>
        action === denied ? refusal('AccessDeniedException', 'not authorized') : forward(request)
      await client.send(new DeleteTableCommand({ TableName: 'cachekit' }))
      const error = await errorOf(open(local(proxy.url)).get('k'))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false })
      expect(error.message).toContain(`dynamodb:${denied}`)
      expect(error.message).toContain('provision: false')
      expect(await open({ ...local(proxy.url), provision: false }).get('k')).toBeUndefined()
    })

    test('on another attribute is told', async () => {
      for (const [AttributeName, Enabled] of [
        ['ttl', false],
        ['expires', true],
      ] as const) {
        const TimeToLiveSpecification = { AttributeName, Enabled }
        await client.send(new UpdateTimeToLiveCommand({ TableName: 'cachekit', TimeToLiveSpecification }))
      }
      const error = await errorOf(open(local(server.url)).get('k'))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED' })
      expect(error.message).toContain('on the attribute expires')
    })

    test('that stays off is told', async () => {
      const proxy = await proxied()
      proxy.rewrite = async (action, request, forward) =>
        action === 'DescribeTimeToLive'
          ? { status: 200, body: { TimeToLiveDescription: { TimeToLiveStatus: 'DISABLED' } } }
          : forward(request)
      const error = await errorOf(open(local(proxy.url)).get('k'))
      expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED' })
    })
  })

  test('a table that AWS is still creating is waited for', async () => {
    const proxy = await proxied()
    let looks = 0
    proxy.rewrite = async (action, request, forward) => {
      const reply = await forward(request)
      if (action === 'DescribeTable' && ++looks < 5) reply.body.Table.TableStatus = 'CREATING'
      return reply
    }
    await open(local(proxy.url)).set('k', bytes('1'))
    looks = Number.NEGATIVE_INFINITY
    const error = await errorOf(open({ ...local(proxy.url), timeout: 500 }).set('k', bytes('1')))
    expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', retryable: true, outcome: 'not-applied' })
    expect(error.message).toContain('is being created')
  })

  test('twenty processes that start at once on an empty server all succeed', async () => {
    const empty = await startServer('dynamodb')
    opened.push(empty)
    const runs = await Promise.all(
      range(20).map(async () => {
        const { stdout } = await runScript(join(__dirname, 'fixtures/use-and-close.ts'), empty.url)
        return JSON.parse(stdout).runs as number
      }),
    )
    expect(runs.sort((a, b) => a - b)).toEqual(range(20).map((_, index) => index + 1))
  }, 120_000)

  test('a process that finds all in its environment, and has closed its backend, ends at once', async () => {
    const { stdout } = await runScript(join(__dirname, 'fixtures/use-and-close.ts'), server.url)
    expect(JSON.parse(stdout)).toEqual({ runs: 1, lived: expect.any(Number) })
    expect(JSON.parse(stdout).lived).toBeLessThan(500)
  }, 30_000)

  describe('an item that CacheKit did not write', () => {
    const foreign: Record<string, AttributeValue>[] = [
      { value: { S: 'text' } },
      { value: { N: '1.5' } },
      {},
      { value: { B: bytes('1') }, expiresAt: { S: 'tomorrow' } },
    ]
    test.each(foreign.map(item => [JSON.stringify(item), item]))('%s is corrupt', async (_name, attributes) => {
      const { pk, sk } = await keyIn('k')
      const put = (): Promise<unknown> =>
        client.send(new PutItemCommand({ TableName: 'cachekit', Item: { pk, sk, ...(attributes as object) } }))
      await put()
      expect(await errorOf(backend.get('k'))).toMatchObject({ code: 'CACHE_CORRUPT_ENTRY', retryable: false })
      await backend.set('other', bytes('1'))
      expect((await backend.getMany(['k', 'other'])).map(text)).toEqual([undefined, '1'])
      expect(await backend.delete('k')).toBe(true)
      expect(await backend.get('k')).toBeUndefined()
      await put()
      await backend.set('k', bytes('new'))
      expect(text(await backend.get('k'))).toBe('new')
    })

    test.each<AttributeValue>([{ S: 'text' }, { N: '1.5' }])('is no counter: %j', async value => {
      const { pk, sk } = await keyIn('k')
      await client.send(new PutItemCommand({ TableName: 'cachekit', Item: { pk, sk, value } }))
      expect(await errorOf(backend.increment('k'))).toMatchObject({ code: 'CACHE_CORRUPT_ENTRY' })
    })

    /** Where the backend keeps the entry of `key`. */
    async function keyIn(key: string): Promise<{ pk: AttributeValue; sk: AttributeValue }> {
      await backend.set(key, bytes('1'))
      const { pk, sk } = (await items()).find(item => item.sk?.S === key) as never
      return { pk, sk }
    }
  })

  describe('a client that is passed in', () => {
    test('is used and not closed', async () => {
      const guest = new DynamoDBBackend({ client })
      await guest.set('k', bytes('1'))
      await guest.close()
      const [item] = await items()
      expect(item?.sk).toEqual({ S: 'k' })
    })

    test.each<[string, DynamoDBClientConfig]>([
      ['retries as the SDK does by default', {}],
      ['retries adaptively, ten times', { maxAttempts: 10, retryMode: 'adaptive' }],
    ])('and %s applies no increment twice', async (_what, options) => {
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const guest = open({ client: bare(`http://${proxy.host}:${proxy.port}`, options), timeout: 1000 })
      await guest.set('n', bytes('0'))
      for (let round = 1; round <= 5; round++) {
        await proxy.inject({ cutAfter: round })
        expect(await errorOf(guest.increment('n'))).toMatchObject({ code: 'CACHE_UNAVAILABLE', outcome: 'unknown' })
        await proxy.heal()
        expect(text(await backend.get('n'))).toBe(String(round))
      }
    })

    test('is refused together with region, endpoint or clientOptions, and when it is none', () => {
      for (const options of [{ region: 'us-east-1' }, { endpoint: server.url }, { clientOptions: {} }]) {
        expect(() => new DynamoDBBackend({ client, ...options })).toThrow('Pass client alone')
      }
      for (const none of [null, 'dynamodb', {}, new Map()]) {
        expect(() => new DynamoDBBackend({ client: none as never })).toThrow('client must be')
      }
    })
  })

  test.each<[string, DynamoDBClientConfig]>([
    [
      'credentials',
      {
        region: 'us-east-1',
        credentials: async () => Promise.reject(Object.assign(new Error('none'), { name: 'CredentialsProviderError' })),
      },
    ],
    [
      'region',
      {
        region: (() => Promise.reject(new Error('Region is missing'))) as never,
        credentials: { accessKeyId: 'x', secretAccessKey: 'the-secret' },
      },
    ],
  ])('without %s the call says what to do', async (what, clientOptions) => {
    const error = await errorOf(open({ endpoint: server.url, clientOptions }).set('k', bytes('1')))
    expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false, outcome: 'not-applied' })
    expect(error.message).toContain(`found no ${what}`)
    expect(printed(error)).not.toContain('the-secret')
  })

  test('options that do not fit are refused', () => {
    for (const options of [
      { table: 'no' },
      { table: 'a table' },
      { table: 7 as never },
      { region: 'the moon' },
      { endpoint: '127.0.0.1:8000' },
      { endpoint: 'ftp://127.0.0.1' },
      { reads: 'fast' as never },
      { provision: 'yes' as never },
      { clientOptions: null as never },
      { timeout: -1 },
      { namespace: '' },
    ] satisfies DynamoDBBackendOptions[]) {
      let error: unknown
      try {
        new DynamoDBBackend(options)
      } catch (thrown) {
        error = thrown
      }
      expect([options, error]).toEqual([options, expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' })])
    }
  })

  test('the policies in the README allow what is used, and nothing else', async () => {
    const readme = readFileSync(join(__dirname, '../README.md'), 'utf8')
    const [runtime, provisioning] = [...readme.matchAll(/"Action": \[([^\]]*)\]/g)].map(([, list = '']) =>
      [...list.matchAll(/"dynamodb:(\w+)"/g)].map(([, action]) => action).sort(),
    )
    const proxy = await proxied()
    await client.send(new DeleteTableCommand({ TableName: 'cachekit' }))
    await open(local(proxy.url)).open()
    expect(Object.keys(proxy.requests).sort()).toEqual(provisioning)
    proxy.requests = {}
    const served = open({ ...local(proxy.url), provision: false })
    await served.getMany(['k'])
    await served.setMany([['k', bytes('1')]])
    await served.touch('k', { ttl: undefined })
    await served.set('k', bytes('1'))
    await served.delete('k')
    await served.clear()
    expect(Object.keys(proxy.requests).sort()).toEqual(runtime)
  })
})
