import type { WriteRequest } from '@aws-sdk/client-dynamodb'
import {
  addToCounter,
  type BackendOptions,
  BaseBackend,
  type BatchLimits,
  type CacheErrorFields,
  type Deadline,
  invalidArgument,
  type NewEntry,
  type Progress,
  rootPrefix,
  type StoredEntry,
} from '@cachekit/core'
import { absent, countable, equalTo, live, PRESENT, unchanged, VALUE } from './conditions.ts'
import { DynamoDBConnection } from './connection.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { nameOf, toErrorFields } from './errors.ts'
import {
  deadlineOf,
  entryOf,
  type Item,
  itemOf,
  type Key,
  keyOf,
  MAX_ITEM_BYTES,
  partition,
  SHARDS,
  sizeOf,
} from './item.ts'
import { provision } from './schema.ts'
import { type ReadOptions, Table } from './table.ts'

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

/** Entries in a table of Amazon DynamoDB, one item each. */
export class DynamoDBBackend extends BaseBackend {
  readonly #connection: DynamoDBConnection
  readonly #table: Table
  readonly #root: string
  /** Creates the table; `undefined` where that is left to others. */
  readonly #provision: (() => Promise<void>) | undefined
  readonly #ConsistentRead: boolean

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: DynamoDBBackendOptions = {}) {
    const { namespace = 'cachekit', table = 'cachekit', reads = 'strong' } = options
    const { provision: provisions = true } = options
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
    if (typeof provisions !== 'boolean') throw invalidArgument('provision must be true or false.')
    if (reads !== 'strong' && reads !== 'eventual') throw invalidArgument("reads must be 'strong' or 'eventual'.")
    this.#connection = new DynamoDBConnection(options, this.timeout)
    this.#table = new Table(this.#connection, table)
    this.#root = prefix.slice(0, -1)
    this.#provision = provisions ? () => provision(this.#connection, table, this.timeout * 0.8) : undefined
    this.#ConsistentRead = reads === 'strong'
  }

  /** Without the right to describe the table, reading one item shows whether it can be reached. */
  protected override async _open(): Promise<void> {
    if (this.#provision === undefined) await this.#table.get(keyOf(`${this.#root}:@`), { ConsistentRead: false })
    else await this.#provision()
  }

  protected override async _close(): Promise<void> {
    this.#connection.close()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    // DynamoDB Local loses its tables when it restarts.
    if (nameOf(error) === 'ResourceNotFoundException') this.disconnected()
    return toErrorFields(error)
  }

  protected override _get(id: string): Promise<StoredEntry | undefined> {
    return this.#read(id, this.#ConsistentRead)
  }

  protected override async _has(id: string): Promise<boolean> {
    const options = { ConsistentRead: this.#ConsistentRead, ProjectionExpression: 'pk, expiresAt' }
    const item = await this.#table.get(keyOf(id), options)
    return item !== undefined && !this.#hasExpired(item)
  }

  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const bySortKey = new Map<string | undefined, StoredEntry | undefined>()
    const keys = new Map(ids.map(id => [id, keyOf(id)]))
    const found = (item: Item): unknown => bySortKey.set(item.sk?.S, tolerantEntryOf(item))
    await this.inBatches(ids, READ_BATCH, progress, async (batch, failed) => {
      const idOf = new Map(batch.map(id => [keys.get(id) as Key, id]))
      const options = { ConsistentRead: this.#ConsistentRead }
      await this.#table.getBatch([...idOf.keys()], options, progress, found, (key, error) =>
        failed(idOf.get(key) as string, error),
      )
    })
    return ids.map(id => bySortKey.get(keys.get(id)?.sk.S))
  }

  protected override async _set(id: string, entry: NewEntry): Promise<void> {
    await this.#table.put(this.#item(id, entry))
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    const items = new Map(entries.map(([id, entry]) => [id, this.#item(id, entry)]))
    const size = (id: string): number => sizeOf(items.get(id) as Item)
    await this.#writeMany([...items.keys()], { ...WRITE_BATCH, size }, progress, id => ({
      PutRequest: { Item: items.get(id) },
    }))
  }

  protected override async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.#writeMany(ids, WRITE_BATCH, progress, id => ({ DeleteRequest: { Key: keyOf(id) } }))
  }

  async #writeMany(
    ids: readonly string[],
    limits: BatchLimits,
    progress: Progress,
    toRequest: (id: string) => WriteRequest,
  ): Promise<void> {
    await this.inBatches(ids, limits, progress, async (batch, failed) => {
      const idOf = new Map(batch.map(id => [toRequest(id), id]))
      await this.#table.writeBatch([...idOf.keys()], progress, (request, error) =>
        failed(idOf.get(request) as string, error),
      )
    })
  }

  protected override async _add(id: string, entry: NewEntry): Promise<boolean> {
    return this.#table.put(this.#item(id, entry), absent(this.now()))
  }

  protected override async _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry): Promise<boolean> {
    const item = this.#item(id, entry)
    if (expected.byteLength > this.supports.maxValueBytes) return false
    return this.#table.put(item, equalTo(expected, this.now()))
  }

  protected override async _compareAndDelete(id: string, expected: Uint8Array): Promise<boolean> {
    if (expected.byteLength > this.supports.maxValueBytes) return false
    return (await this.#table.delete(keyOf(id), equalTo(expected, this.now()))) !== undefined
  }

  protected override async _swap(
    id: string,
    expected: StoredEntry | undefined,
    next: NewEntry | undefined,
  ): Promise<boolean> {
    if (next !== undefined) return this.#table.put(this.#item(id, next), unchanged(expected))
    return (await this.#table.delete(keyOf(id), unchanged(expected))) !== undefined
  }

  protected override async _increment(id: string, by: number, deadline: Deadline, progress: Progress): Promise<number> {
    const add = { UpdateExpression: 'ADD #value :by', names: VALUE, values: { ':by': { N: String(by) } } }
    for (;;) {
      const added = await this.#table.update(keyOf(id), add, countable(by, this.now()))
      if (added !== undefined) return Number(Buffer.from(entryOf(added).value).toString())
      // There is no live counter of which the sum is one: a new one, or an error.
      const stored = await this.#read(id, true)
      const current = this.isLive(stored) ? stored : undefined
      const next = addToCounter(current?.value, by)
      const kept = current === undefined ? deadline : { expiresAt: current.expiresAt }
      if (await this._swap(id, stored, { value: next.bytes, ...kept })) return next.sum
      progress()
    }
  }

  protected override async _touch(id: string, { expiresAt }: Deadline): Promise<boolean> {
    const names = { '#ttl': 'ttl' }
    const change =
      expiresAt === undefined
        ? { UpdateExpression: 'REMOVE expiresAt, #ttl', names }
        : { UpdateExpression: 'SET expiresAt = :expiresAt, #ttl = :ttl', names, values: touched(expiresAt, this.now()) }
    return (await this.#table.update(keyOf(id), change, live(this.now()))) !== undefined
  }

  /** Also what has expired by this caller's clock: another's may be behind, and would still see it. */
  protected override async _delete(id: string): Promise<boolean> {
    // Without a condition DynamoDB Local tells several concurrent callers that they removed the item.
    const old = await this.#table.delete(keyOf(id), PRESENT, 'ALL_OLD')
    return old !== undefined && !this.#hasExpired(old)
  }

  protected override async _clear(prefix: string, progress: Progress): Promise<void> {
    const options = { ConsistentRead: true, ProjectionExpression: 'pk, sk' }
    const failed = (_request: WriteRequest, error: unknown): never => {
      throw error
    }
    await Promise.all(
      this.#shards(prefix, options).map(async pages => {
        for await (const page of pages) {
          for (let start = 0; start < page.length; start += WRITE_BATCH.keys) {
            const batch = page.slice(start, start + WRITE_BATCH.keys).map(Key => ({ DeleteRequest: { Key } }))
            await this.#table.writeBatch(batch, progress, failed)
            progress()
          }
        }
        progress()
      }),
    )
  }

  protected override async *_keys(prefix: string, progress: Progress): AsyncGenerator<string> {
    const options = { ConsistentRead: this.#ConsistentRead, ProjectionExpression: 'sk, id, expiresAt' }
    const shards = this.#shards(prefix, options)
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

  /** The items whose id starts with `prefix`, of each shard. */
  #shards(prefix: string, options: ReadOptions): AsyncGenerator<Item[], void>[] {
    const path = prefix.slice(this.#root.length + 1)
    return SHARDS.map(shard => this.#table.pages(partition(this.#root, shard), path, options))
  }

  async #read(id: string, ConsistentRead: boolean): Promise<StoredEntry | undefined> {
    const item = await this.#table.get(keyOf(id), { ConsistentRead })
    return item && entryOf(item)
  }

  #item(id: string, entry: NewEntry): Item {
    return itemOf(id, entry, this.now())
  }

  #hasExpired({ expiresAt }: Item): boolean {
    return Number(expiresAt?.N) <= this.now()
  }
}

function touched(expiresAt: number, now: number): Item {
  const deadline = deadlineOf(expiresAt, now)
  return { ':expiresAt': deadline.expiresAt, ':ttl': deadline.ttl }
}

/** Like `entryOf`, but what is not ours is a miss, so that it fails no batch. */
function tolerantEntryOf(item: Item): StoredEntry | undefined {
  try {
    return entryOf(item)
  } catch {
    return undefined
  }
}
