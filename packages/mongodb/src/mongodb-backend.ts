import {
  addToCounter,
  type BackendEntry,
  type BackendOptions,
  type BackendSupports,
  BaseBackend,
  CacheError,
  type CacheErrorFields,
  type Deadline,
  type NewEntry,
  type Progress,
  type StoredEntry,
} from '@cachekit/core'
import type { Document, Filter } from 'mongodb'
import { type ConnectionOptions, type EntryDocument, MongoConnection } from './connection.ts'
import { DUPLICATE_KEY, isDuplicateKey, toErrorFields } from './errors.ts'
import { provideTtlIndex } from './schema.ts'

/** Options of {@link MongoDBBackend}. */
export interface MongoDBBackendOptions extends BackendOptions, ConnectionOptions {
  /** Creates the TTL index (and with it the collection) if it is not there. Default: true. */
  readonly provision?: boolean | undefined
  /**
   * `'strong'`: majority reads on the primary. `'eventual'`: from secondaries where there are any, which may lag behind.
   * Default: `'strong'`.
   */
  readonly reads?: 'strong' | 'eventual' | undefined
}

const SUPPORTS: BackendSupports = {
  /** A document may have 16 MiB; this leaves room for the longest id and for the fields' names. */
  maxValueBytes: 16 * 1024 * 1024 - 32 * 1024,
  clock: 'store',
  persistent: true,
  shared: true,
  evicts: false,
  iteration: true,
}

/** How many documents, and about how many bytes of values, go into one command. */
const BATCH_KEYS = 1000
const BATCH_BYTES = 4 * 1024 * 1024

const COUNTER = /^(?:0|-?[1-9]\d{0,15})$/
/** Later than every deadline: what an entry without one compares as. */
const NEVER = new Date(8.64e15)

/** Whether the document has not expired, by the server's clock. https://www.mongodb.com/docs/manual/reference/aggregation-variables/ */
const IS_LIVE = { $gt: [{ $ifNull: ['$expiresAt', NEVER] }, '$$NOW'] }
const LIVE = { $expr: IS_LIVE }
const EXPIRED = { $expr: { $not: [IS_LIVE] } }

/**
 * Entries in a collection of MongoDB, a document each: `_id` is the physical id, `value` the bytes (or the number, of a
 * counter), `expiresAt` the deadline, by which MongoDB's TTL monitor removes it about once a minute. Until then every
 * command leaves expired documents out by the server's own clock.
 */
export class MongoDBBackend extends BaseBackend {
  readonly #connection: MongoConnection
  readonly #provision: boolean
  readonly #reads: 'strong' | 'eventual'

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: MongoDBBackendOptions = {}) {
    super('mongodb', SUPPORTS, options)
    const { provision = true, reads = 'strong' } = options
    if (typeof provision !== 'boolean') {
      throw new CacheError({
        code: 'CACHE_INVALID_ARGUMENT',
        message: `provision must be true or false, not ${provision}.`,
      })
    }
    if (reads !== 'strong' && reads !== 'eventual') {
      throw new CacheError({
        code: 'CACHE_INVALID_ARGUMENT',
        message: `reads must be 'strong' or 'eventual', not ${reads}.`,
      })
    }
    this.#provision = provision
    this.#reads = reads
    this.#connection = new MongoConnection(options, this.timeout)
  }

  protected override async _open(): Promise<void> {
    await this.#connection.open(this.#reads)
    await provideTtlIndex(this.#connection.collection, this.#provision)
  }

  protected override _close(): Promise<void> {
    return this.#connection.close()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    return toErrorFields(error)
  }

  protected override async _get(id: string): Promise<StoredEntry | undefined> {
    const found = await this.#collection.findOne({ _id: id, ...LIVE }, { projection: { value: 1 } })
    return found === null ? undefined : { value: toBytes(found.value) }
  }

  protected override async _getEntry(id: string): Promise<BackendEntry | undefined> {
    const [found] = await this.#collection
      .aggregate<{ value: unknown; ttl: number | null }>([
        { $match: { _id: id, ...LIVE } },
        { $project: { value: 1, ttl: { $subtract: ['$expiresAt', '$$NOW'] } } },
      ])
      .toArray()
    return found && { value: toBytes(found.value), ttl: found.ttl ?? undefined }
  }

  protected override async _has(id: string): Promise<boolean> {
    return (await this.#collection.findOne({ _id: id, ...LIVE }, { projection: { _id: 1 } })) !== null
  }

  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const values = new Map<string, Uint8Array>()
    await this.#inBatches(ids, undefined, progress, async batch => {
      for await (const { _id, value } of this.#collection.find({ _id: { $in: batch }, ...LIVE })) {
        // What is not ours is a miss here: it must not hide the other keys.
        if (isOurs(value)) values.set(_id, toBytes(value))
        progress()
      }
      return []
    })
    return ids.map(id => {
      const value = values.get(id)
      return value && { value }
    })
  }

  protected override async _set(id: string, entry: NewEntry): Promise<void> {
    const pipeline = replaceWith(entry)
    for (;;) {
      try {
        await this.#collection.updateOne({ _id: id }, pipeline, { upsert: true })
        return
      } catch (error) {
        // Of two upserts at once that both insert, the second one now finds a document to update.
        if (!isDuplicateKey(error)) throw error
      }
    }
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    const byId = new Map(entries)
    const size = (id: string): number => (byId.get(id) as NewEntry).value.byteLength
    await this.#inBatches([...byId.keys()], size, progress, async batch => {
      for (let left = batch; ; ) {
        const failures = await this.#bulkSet(left, byId)
        left = left.filter((_, index) => failures.get(index)?.code === DUPLICATE_KEY)
        if (left.length === 0) return [...failures].map(([index, error]) => [batch[index] as string, error] as const)
        progress()
      }
    })
  }

  /** Sets the ids, whatever fails; answers what failed, by the index of the id. */
  async #bulkSet(
    ids: readonly string[],
    entries: ReadonlyMap<string, NewEntry>,
  ): Promise<Map<number, { code: number }>> {
    const updates = ids.map(id => ({
      updateOne: { filter: { _id: id }, update: replaceWith(entries.get(id) as NewEntry), upsert: true },
    }))
    try {
      await this.#collection.bulkWrite(updates, { ordered: false })
      return new Map()
    } catch (error) {
      const { writeErrors } = error as {
        writeErrors?: { index: number; code: number }[] | { index: number; code: number }
      }
      if (writeErrors === undefined) throw error
      const failures = [writeErrors].flat()
      if (failures.length === 0) throw error
      return new Map(failures.map(failure => [failure.index, failure]))
    }
  }

  protected override async _add(id: string, entry: NewEntry, progress: Progress): Promise<boolean> {
    const pipeline = replaceWith(entry)
    for (;;) {
      if (await this.#insert(id, pipeline)) return true
      if (await this._has(id)) return false
      const { matchedCount } = await this.#collection.updateOne({ _id: id, ...EXPIRED }, pipeline)
      if (matchedCount === 1) return true
      progress()
    }
  }

  protected override async _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry): Promise<boolean> {
    const { matchedCount } = await this.#collection.updateOne(
      { _id: id, value: toValue(expected), ...LIVE } as Filter<EntryDocument>,
      replaceWith(entry),
    )
    return matchedCount === 1
  }

  protected override async _compareAndDelete(id: string, expected: Uint8Array): Promise<boolean> {
    const { deletedCount } = await this.#collection.deleteOne({
      _id: id,
      value: toValue(expected),
      ...LIVE,
    } as Filter<EntryDocument>)
    return deletedCount === 1
  }

  /** Only completes the contract: all operations have a command of their own, so none of them needs it. */
  protected override async _swap(
    id: string,
    expected: StoredEntry | undefined,
    next: NewEntry | undefined,
  ): Promise<boolean> {
    if (next === undefined) return expected === undefined || this._compareAndDelete(id, expected.value)
    return expected === undefined ? this._add(id, next, () => {}) : this._compareAndSet(id, expected.value, next)
  }

  protected override async _increment(id: string, by: number, { ttl }: Deadline, progress: Progress): Promise<number> {
    const added = { $add: ['$value', by] }
    const safe = [{ $lte: [added, Number.MAX_SAFE_INTEGER] }, { $gte: [added, Number.MIN_SAFE_INTEGER] }]
    const countable = { $and: [{ $isNumber: '$value' }, ...safe] }
    const fresh = { _id: '$_id', value: { $literal: by }, ...deadline(ttl) }
    const count = [{ $replaceWith: { $cond: [IS_LIVE, { $mergeObjects: ['$$ROOT', { value: added }] }, fresh] } }]
    for (;;) {
      const counted = await this.#collection.findOneAndUpdate(
        { _id: id, $expr: { $or: [{ $not: [IS_LIVE] }, countable] } },
        count,
        { returnDocument: 'after', projection: { value: 1 } },
      )
      if (counted !== null) return counted.value as number
      if (await this.#insert(id, [{ $replaceWith: fresh }])) return by
      // A live entry that is no number of ours: no counter, or one whose sum or present value is not safe.
      const found = await this._get(id)
      const { sum, bytes } = addToCounter(found?.value, by)
      if (found && (await this.#replaceValue(id, found.value, bytes))) return sum
      progress()
    }
  }

  protected override async _touch(id: string, { ttl }: Deadline): Promise<boolean> {
    const change = ttl === undefined ? { $unset: 'expiresAt' } : { $set: deadline(ttl) }
    const { matchedCount } = await this.#collection.updateOne({ _id: id, ...LIVE }, [change])
    return matchedCount === 1
  }

  protected override async _delete(id: string): Promise<boolean> {
    const { deletedCount } = await this.#collection.deleteOne({ _id: id, ...LIVE })
    return deletedCount === 1
  }

  protected override async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.#inBatches(ids, undefined, progress, async batch => {
      await this.#collection.deleteMany({ _id: { $in: batch } })
      return []
    })
  }

  /** Page by page in the order of the ids: so it ends, however fast others write. */
  protected override async _clear(prefix: string, progress: Progress): Promise<void> {
    const [from, to] = rangeOf(prefix)
    for (let last: string | undefined = from; last !== undefined; ) {
      const first: string = last
      const page = await this.#collection
        .find({ _id: { $gte: first, $lt: to } }, { projection: { _id: 1 }, sort: { _id: 1 }, limit: BATCH_KEYS })
        .toArray()
      progress()
      const end = page.at(-1)?._id
      if (end !== undefined) await this.#collection.deleteMany({ _id: { $gte: first, $lte: end } })
      progress()
      last = page.length < BATCH_KEYS ? undefined : end
    }
  }

  protected override async *_keys(prefix: string, progress: Progress): AsyncGenerator<string> {
    const [from, to] = rangeOf(prefix)
    for (let last: string | undefined = from; last !== undefined; ) {
      const page: { _id: string }[] = await this.#collection
        .find({ _id: { $gt: last, $lt: to }, ...LIVE }, { projection: { _id: 1 }, sort: { _id: 1 }, limit: BATCH_KEYS })
        .toArray()
      progress()
      for (const { _id } of page) yield _id
      last = page.length < BATCH_KEYS ? undefined : page.at(-1)?._id
    }
  }

  get #collection(): MongoConnection['collection'] {
    return this.#connection.collection
  }

  /** Another value, with the same deadline. */
  async #replaceValue(id: string, expected: Uint8Array, value: Uint8Array): Promise<boolean> {
    const filter = { _id: id, value: toValue(expected), ...LIVE } as Filter<EntryDocument>
    const { matchedCount } = await this.#collection.updateOne(filter, { $set: { value: toValue(value) } })
    return matchedCount === 1
  }

  /** Inserts a document; `false` if there is one already, expired or not. */
  async #insert(id: string, pipeline: Document[]): Promise<boolean> {
    try {
      // No document lacks a value, so this never updates one, and only an update can use the server's clock.
      await this.#collection.updateOne({ _id: id, value: { $exists: false } }, pipeline, { upsert: true })
      return true
    } catch (error) {
      if (isDuplicateKey(error)) return false
      throw error
    }
  }

  /**
   * Has `send` send the ids some at a time, all of them whatever fails; then rejects naming those that failed, which
   * `send` answers or throws. `size` is in bytes.
   */
  async #inBatches(
    ids: readonly string[],
    size: ((id: string) => number) | undefined,
    progress: Progress,
    send: (batch: readonly string[]) => Promise<readonly (readonly [id: string, error: unknown])[]>,
  ): Promise<void> {
    const failures: (readonly [id: string, error: unknown])[] = []
    for (let start = 0, end = 0; start < ids.length; start = end) {
      let bytes = 0
      while (end < ids.length && end - start < BATCH_KEYS && bytes < BATCH_BYTES) {
        bytes += size?.(ids[end] as string) ?? 0
        end++
      }
      const batch = ids.slice(start, end)
      try {
        failures.push(...(await send(batch)))
      } catch (error) {
        failures.push(...batch.map(id => [id, error] as const))
      }
      progress()
    }
    if (failures.length > 0) {
      const failed = failures.map(([id]) => id)
      throw this.batchFailure(ids.length, failed, failures[0]?.[1])
    }
  }
}

/** An update that replaces the document, or inserts one. `$literal` keeps values from being read as expressions. */
function replaceWith({ value, ttl, expiresAt }: NewEntry): Document[] {
  const kept = expiresAt === undefined ? {} : { expiresAt: { $literal: new Date(expiresAt) } }
  const time = ttl === undefined ? kept : deadline(ttl)
  return [{ $replaceWith: { _id: '$_id', value: { $literal: toValue(value) }, ...time } }]
}

function deadline(ttl: number | undefined): Document {
  return ttl === undefined ? {} : { expiresAt: { $add: ['$$NOW', ttl] } }
}

/** Bytes as they are stored: those that spell a safe integer as that number, on which `increment` can go on. */
function toValue(bytes: Uint8Array): Uint8Array | number {
  if (bytes.byteLength <= 17) {
    const text = Buffer.from(bytes).toString('latin1')
    if (COUNTER.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
  }
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function isOurs(value: unknown): value is Uint8Array | number {
  return Number.isSafeInteger(value) || Buffer.isBuffer(value)
}

function toBytes(value: unknown): Uint8Array {
  if (!isOurs(value)) {
    throw new CacheError({
      code: 'CACHE_CORRUPT_ENTRY',
      message: 'The document under this id is not one of @cachekit/mongodb: its value is neither bytes nor an integer.',
    })
  }
  return typeof value === 'number' ? Buffer.from(String(value)) : value
}

/** The ids that start with `prefix`, from (inclusive) and to: `;` comes after `:`, with which every prefix ends. */
function rangeOf(prefix: string): [from: string, to: string] {
  return [prefix, `${prefix.slice(0, -1)};`]
}
