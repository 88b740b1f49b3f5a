import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  UpdateItemCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import {
  addToCounter,
  type BackendOptions,
  BaseBackend,
  type BatchLimits,
  CacheError,
  type CacheErrorFields,
  type Deadline,
  invalidArgument,
  type NewEntry,
  type Progress,
  rootPrefix,
  type StoredEntry,
} from '@cachekit/core'
import type { Command } from './client.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { nameOf, toErrorFields, unprocessed } from './errors.ts'
import {
  attributeOf,
  deadlineOf,
  entryOf,
  type Item,
  itemOf,
  keyOf,
  MAX_ITEM_BYTES,
  partition,
  SHARDS,
  sizeOf,
} from './item.ts'
import { provision } from './schema.ts'

/** Options of {@link DynamoDBBackend}. Region, endpoint and credentials default to what the AWS SDK finds. */
export interface DynamoDBBackendOptions extends BackendOptions, ConnectionOptions {
  /** Name of the table. Default: `'cachekit'`. */
  readonly table?: string | undefined
  /** Whether to create the table and to switch its TTL on. Default: true. */
  readonly provision?: boolean | undefined
  /** `'eventual'` reads cost half, and may answer what was overwritten or deleted just before. Default: `'strong'`. */
  readonly reads?: 'strong' | 'eventual' | undefined
}

/** What one BatchGetItem and one BatchWriteItem take, and how many of them are under way at a time. */
const READ_BATCH: BatchLimits = { keys: 100, concurrency: 8 }
const WRITE_BATCH: BatchLimits = { keys: 25, bytes: 4 * 1024 * 1024, concurrency: 8 }
/** How many items one Query answers at most. */
const PAGE = 1000

/** `value` is a reserved word: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html */
const VALUE = { '#value': 'value' }
// A comparison with an attribute that is not there is false.
const EXPIRED = 'expiresAt <= :now'
const LIVE = `attribute_exists(pk) AND NOT ${EXPIRED}`
const ABSENT = `attribute_not_exists(pk) OR ${EXPIRED}`

/** Entries in a table of Amazon DynamoDB, one item each. */
export class DynamoDBBackend extends BaseBackend {
  readonly #connection: Connection
  readonly #root: string
  readonly #table: string
  readonly #provision: boolean
  readonly #strong: boolean

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: DynamoDBBackendOptions = {}) {
    const { namespace = 'cachekit', table = 'cachekit', provision = true, reads = 'strong' } = options
    const prefix = rootPrefix(namespace)
    super(
      'dynamodb',
      {
        /** What is left of an item beside the shortest key. */
        maxValueBytes: MAX_ITEM_BYTES - sizeOf({ ...keyOf(`${prefix}k`), value: { B: new Uint8Array() } }),
        clock: 'caller',
        persistent: true,
        shared: true,
        evicts: false,
        iteration: true,
      },
      options,
    )
    if (typeof table !== 'string' || !/^[\w.-]{3,255}$/.test(table)) {
      throw invalidArgument('table must be a name of 3 to 255 letters, digits, ".", "_" and "-".')
    }
    if (typeof provision !== 'boolean') throw invalidArgument('provision must be true or false.')
    if (reads !== 'strong' && reads !== 'eventual') throw invalidArgument("reads must be 'strong' or 'eventual'.")
    this.#connection = new Connection(options, this.timeout)
    this.#root = prefix.slice(0, -1)
    this.#table = table
    this.#provision = provision
    this.#strong = reads === 'strong'
  }

  /** Without the right to describe the table, reading one item shows whether it can be reached. */
  protected override async _open(): Promise<void> {
    if (this.#provision) await provision(this.#connection, this.#table, this.timeout * 0.8)
    else await this.#read(`${this.#root}:@`, false)
  }

  protected override async _close(): Promise<void> {
    this.#connection.close()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    // DynamoDB Local loses its tables when it restarts.
    if (nameOf(error) === 'ResourceNotFoundException') this.disconnected()
    return toErrorFields(error)
  }

  protected override async _get(id: string): Promise<StoredEntry | undefined> {
    return this.#read(id, this.#strong)
  }

  protected override async _has(id: string): Promise<boolean> {
    const { Item } = await this.#connection.read(
      new GetItemCommand({
        TableName: this.#table,
        Key: keyOf(id),
        ConsistentRead: this.#strong,
        ProjectionExpression: 'pk, expiresAt',
      }),
    )
    return Item !== undefined && !this.#hasExpired(Item)
  }

  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const entries = new Map<string, StoredEntry | undefined>()
    const keys = new Map(ids.map(id => [id, keyOf(id)]))
    await this.inBatches(ids, READ_BATCH, progress, async (batch, failed) => {
      const bySortKey = new Map(batch.map(id => [keys.get(id)?.sk.S, id]))
      await this.#untilDone(batch, progress, failed, async some => {
        const request = { Keys: some.map(id => keys.get(id) as Item), ConsistentRead: this.#strong }
        const { Responses, UnprocessedKeys } = await this.#connection.read(
          new BatchGetItemCommand({ RequestItems: { [this.#table]: request } }),
        )
        for (const item of Responses?.[this.#table] ?? []) {
          entries.set(bySortKey.get(item.sk?.S) as string, tolerantEntryOf(item))
        }
        const unread = UnprocessedKeys?.[this.#table]?.Keys ?? []
        return unread.map(key => bySortKey.get(key.sk?.S) as string)
      })
    })
    return ids.map(id => entries.get(id))
  }

  protected override async _set(id: string, entry: NewEntry): Promise<void> {
    await this.#connection.write(new PutItemCommand({ TableName: this.#table, Item: this.#item(id, entry) }))
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    const items = new Map(entries.map(([id, entry]) => [id, this.#item(id, entry)]))
    const size = (id: string): number => sizeOf(items.get(id) as Item)
    await this.inBatches([...items.keys()], { ...WRITE_BATCH, size }, progress, async (batch, failed) => {
      await this.#write(batch, progress, failed, id => ({ PutRequest: { Item: items.get(id) } }))
    })
  }

  protected override async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.inBatches(ids, WRITE_BATCH, progress, async (batch, failed) => {
      await this.#write(batch, progress, failed, id => ({ DeleteRequest: { Key: keyOf(id) } }))
    })
  }

  protected override async _add(id: string, entry: NewEntry): Promise<boolean> {
    return this.#applied(
      new PutItemCommand({
        TableName: this.#table,
        Item: this.#item(id, entry),
        ConditionExpression: ABSENT,
        ExpressionAttributeValues: { ':now': this.#now() },
      }),
    )
  }

  protected override async _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry): Promise<boolean> {
    const item = this.#item(id, entry)
    if (expected.byteLength > this.supports.maxValueBytes) return false
    return this.#applied(
      new PutItemCommand({
        TableName: this.#table,
        Item: item,
        ConditionExpression: `#value = :expected AND NOT ${EXPIRED}`,
        ExpressionAttributeNames: VALUE,
        ExpressionAttributeValues: { ':expected': attributeOf(expected), ':now': this.#now() },
      }),
    )
  }

  protected override async _compareAndDelete(id: string, expected: Uint8Array): Promise<boolean> {
    if (expected.byteLength > this.supports.maxValueBytes) return false
    return this.#applied(
      new DeleteItemCommand({
        TableName: this.#table,
        Key: keyOf(id),
        ConditionExpression: `#value = :expected AND NOT ${EXPIRED}`,
        ExpressionAttributeNames: VALUE,
        ExpressionAttributeValues: { ':expected': attributeOf(expected), ':now': this.#now() },
      }),
    )
  }

  protected override async _swap(
    id: string,
    expected: StoredEntry | undefined,
    next: NewEntry | undefined,
  ): Promise<boolean> {
    const unchanged =
      expected === undefined
        ? { ConditionExpression: 'attribute_not_exists(pk)' }
        : expected.expiresAt === undefined
          ? {
              ConditionExpression: '#value = :expected AND attribute_not_exists(expiresAt)',
              ExpressionAttributeNames: VALUE,
              ExpressionAttributeValues: { ':expected': attributeOf(expected.value) },
            }
          : {
              ConditionExpression: '#value = :expected AND expiresAt = :expiresAt',
              ExpressionAttributeNames: VALUE,
              ExpressionAttributeValues: {
                ':expected': attributeOf(expected.value),
                ':expiresAt': { N: String(expected.expiresAt) },
              },
            }
    const TableName = this.#table
    return this.#applied(
      next === undefined
        ? new DeleteItemCommand({ TableName, Key: keyOf(id), ...unchanged })
        : new PutItemCommand({ TableName, Item: this.#item(id, next), ...unchanged }),
    )
  }

  protected override async _increment(id: string, by: number, deadline: Deadline, progress: Progress): Promise<number> {
    for (;;) {
      const sum = await this.#addToLive(id, by)
      if (sum !== undefined) return sum
      // There is no live counter of which the sum is one: a new one, or an error.
      const stored = await this.#read(id, true)
      const live = stored?.expiresAt !== undefined && stored.expiresAt <= this.now() ? undefined : stored
      const next = addToCounter(live?.value, by)
      const kept = live === undefined ? deadline : { expiresAt: live.expiresAt }
      if (await this._swap(id, stored, { value: next.bytes, ...kept })) return next.sum
      progress()
    }
  }

  protected override async _touch(id: string, { expiresAt }: Deadline): Promise<boolean> {
    const deadline = expiresAt === undefined ? undefined : deadlineOf(expiresAt, this.now())
    return this.#applied(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: keyOf(id),
        ConditionExpression: LIVE,
        UpdateExpression: deadline ? 'SET expiresAt = :expiresAt, #ttl = :ttl' : 'REMOVE expiresAt, #ttl',
        ExpressionAttributeNames: { '#ttl': 'ttl' },
        ExpressionAttributeValues: {
          ':now': this.#now(),
          ...(deadline && { ':expiresAt': deadline.expiresAt, ':ttl': deadline.ttl }),
        },
      }),
    )
  }

  /** Also what has expired by this caller's clock: another's may be behind, and would still see it. */
  protected override async _delete(id: string): Promise<boolean> {
    const old = await this.#unlessRefused(
      new DeleteItemCommand({
        TableName: this.#table,
        Key: keyOf(id),
        // Without it DynamoDB Local tells several concurrent callers that they removed the item.
        ConditionExpression: 'attribute_exists(pk)',
        ReturnValues: 'ALL_OLD',
      }),
    )
    return old !== undefined && !this.#hasExpired(old.Attributes)
  }

  protected override async _clear(prefix: string, progress: Progress): Promise<void> {
    const failed = (_key: Item, error: unknown): never => {
      throw error
    }
    await Promise.all(
      SHARDS.map(async shard => {
        for await (const page of this.#pages(prefix, shard, { ConsistentRead: true, ProjectionExpression: 'pk, sk' })) {
          for (let start = 0; start < page.length; start += WRITE_BATCH.keys) {
            const batch = page.slice(start, start + WRITE_BATCH.keys)
            await this.#write(batch, progress, failed, Key => ({ DeleteRequest: { Key } }))
            progress()
          }
        }
        progress()
      }),
    )
  }

  protected override async *_keys(prefix: string, progress: Progress): AsyncGenerator<string> {
    const options = { ConsistentRead: this.#strong, ProjectionExpression: 'sk, id, expiresAt' }
    const shards = SHARDS.map(shard => this.#pages(prefix, shard, options))
    // The first pages of all at once: mostly they are the only ones.
    const firsts = shards.map(pages => pages.next())
    for (const first of firsts) first.catch(() => {})
    for (const [shard, pages] of shards.entries()) {
      let page = await (firsts[shard] as (typeof firsts)[number])
      while (!page.done) {
        progress()
        for (const item of page.value) {
          if (!this.#hasExpired(item)) yield item.id?.S ?? `${this.#root}:${item.sk?.S}`
        }
        page = await pages.next()
      }
    }
  }

  /** The items of one shard whose id starts with `prefix`. */
  async *#pages(
    prefix: string,
    shard: number,
    options: { readonly ConsistentRead: boolean; readonly ProjectionExpression: string },
  ): AsyncGenerator<Item[], void> {
    const path = prefix.slice(this.#root.length + 1)
    let ExclusiveStartKey: Item | undefined
    do {
      const { Items, LastEvaluatedKey } = await this.#connection.read(
        new QueryCommand({
          TableName: this.#table,
          KeyConditionExpression: path === '' ? 'pk = :pk' : 'pk = :pk AND begins_with(sk, :path)',
          ExpressionAttributeValues: {
            ':pk': { S: partition(this.#root, shard) },
            ...(path !== '' && { ':path': { S: path } }),
          },
          Limit: PAGE,
          ExclusiveStartKey,
          ...options,
        }),
      )
      yield Items ?? []
      ExclusiveStartKey = LastEvaluatedKey
    } while (ExclusiveStartKey !== undefined)
  }

  async #read(id: string, ConsistentRead: boolean): Promise<StoredEntry | undefined> {
    const { Item } = await this.#connection.read(
      new GetItemCommand({ TableName: this.#table, Key: keyOf(id), ConsistentRead }),
    )
    return Item && entryOf(Item)
  }

  /** The sum, if there is a live counter to which `by` can be added. */
  async #addToLive(id: string, by: number): Promise<number | undefined> {
    const min = Number.MIN_SAFE_INTEGER - Math.min(by, 0)
    const max = Number.MAX_SAFE_INTEGER - Math.max(by, 0)
    const reply = await this.#unlessRefused(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: keyOf(id),
        ConditionExpression: `#value BETWEEN :min AND :max AND NOT ${EXPIRED}`,
        UpdateExpression: 'ADD #value :by',
        ExpressionAttributeNames: VALUE,
        ExpressionAttributeValues: {
          ':by': { N: String(by) },
          ':min': { N: String(min) },
          ':max': { N: String(max) },
          ':now': this.#now(),
        },
        ReturnValues: 'UPDATED_NEW',
      }),
    )
    return reply && Number(Buffer.from(entryOf(reply.Attributes ?? {}).value).toString())
  }

  /** Sends a write with a condition; whether that was met. */
  async #applied(command: Command<unknown>): Promise<boolean> {
    return (await this.#unlessRefused(command)) !== undefined
  }

  /** Sends a write with a condition; `undefined` if that was not met. */
  async #unlessRefused<Output>(command: Command<Output>): Promise<Output | undefined> {
    try {
      return await this.#connection.write(command)
    } catch (error) {
      if (nameOf(error) === 'ConditionalCheckFailedException') return undefined
      throw error
    }
  }

  /** Sends one BatchWriteItem, and again what DynamoDB did not take. */
  #write<T>(
    batch: readonly T[],
    progress: Progress,
    failed: (each: T, error: unknown) => void,
    toRequest: (each: T) => WriteRequest,
  ): Promise<void> {
    const requests = new Map(batch.map(each => [each, toRequest(each)]))
    const bySortKey = new Map(batch.map(each => [sortKeyOf(requests.get(each) as WriteRequest), each]))
    return this.#untilDone(batch, progress, failed, async some => {
      const { UnprocessedItems } = await this.#connection.write(
        new BatchWriteItemCommand({
          RequestItems: { [this.#table]: some.map(each => requests.get(each) as WriteRequest) },
        }),
      )
      return (UnprocessedItems?.[this.#table] ?? []).map(request => bySortKey.get(sortKeyOf(request)) as T)
    })
  }

  /** Has `send` send a batch, and what it answers as left again, with pauses and as long as that helps. */
  async #untilDone<T>(
    batch: readonly T[],
    progress: Progress,
    failed: (each: T, error: unknown) => void,
    send: (some: readonly T[]) => Promise<readonly T[]>,
  ): Promise<void> {
    const backoff = this.#connection.backoff()
    let some = batch
    let error: unknown = new CacheError(unprocessed)
    do {
      try {
        const left = await send(some)
        progress(left.length < some.length)
        if (left.length < some.length) backoff.reset()
        some = left
      } catch (reason) {
        error = reason
        break
      }
    } while (some.length > 0 && (await backoff.wait()))
    for (const each of some) failed(each, error)
  }

  #item(id: string, entry: NewEntry): Item {
    return itemOf(id, entry, this.now())
  }

  #hasExpired(item: Item | undefined): boolean {
    return Number(item?.expiresAt?.N) <= this.now()
  }

  #now(): { N: string } {
    return { N: String(this.now()) }
  }
}

function sortKeyOf({ PutRequest, DeleteRequest }: WriteRequest): string | undefined {
  return (PutRequest?.Item ?? DeleteRequest?.Key)?.sk?.S
}

/** Like `entryOf`, but what is not ours is a miss, so that it fails no batch. */
function tolerantEntryOf(item: Item): StoredEntry | undefined {
  try {
    return entryOf(item)
  } catch {
    return undefined
  }
}
