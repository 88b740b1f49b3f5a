import { randomUUID } from 'node:crypto'
import {
  addToCounter,
  type BackendEntry,
  type BackendOptions,
  type BackendSupports,
  CacheError,
  type CacheErrorFields,
  type Deadline,
  describeArgument,
  invalidArgument,
  NativeBackend,
  type NewEntry,
  type Progress,
  type StoredEntry,
  toCounter,
} from '@cachekit/core'
import type { Document, Filter, FindCursor } from 'mongodb'
import { MongoConnection, STRONG } from './connection.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { isDuplicateKey, toErrorFields } from './errors.ts'
import { type EntryDocument, ensureIndexes } from './schema.ts'

/** Options of {@link MongoDBBackend}. */
export interface MongoDBBackendOptions extends BackendOptions, ConnectionOptions {
  /** Creates the TTL index, and with it the collection, where there is none. Default: true. */
  readonly provision?: boolean | undefined
}

/** The largest document: https://www.mongodb.com/docs/manual/reference/limits/ */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
/** The longest id, and the rest of a document or of the command that stores it. */
const OVERHEAD_BYTES = 32 * 1024

const SUPPORTS: BackendSupports = {
  maxValueBytes: MAX_DOCUMENT_BYTES - OVERHEAD_BYTES,
  clock: 'store',
  persistent: true,
  shared: true,
  evicts: false,
  iteration: true,
}

/** How many documents, and about how many bytes of values, go into one command. */
const BATCH = { keys: 1000, bytes: 4 * 1024 * 1024 }

/**
 * Whether the document has not expired, by the server's clock; one without a deadline is compared by the last day there is.
 * https://www.mongodb.com/docs/manual/reference/aggregation-variables/#mongodb-variable-variable.NOW
 */
const IS_LIVE = { $gt: [{ $ifNull: ['$expiresAt', new Date(8.64e15)] }, '$$NOW'] }
const LIVE = { $expr: IS_LIVE }
/** In an update that may insert, too: whether there is a document that has not expired. */
const EXISTS = { $and: [{ $ne: [{ $type: '$value' }, 'missing'] }, IS_LIVE] }

/**
 * Entries in a collection of MongoDB, a document each: `_id` is the physical id, `value` the bytes (or the number, of a
 * counter), `expiresAt` the deadline. MongoDB removes expired documents about once a minute; until then every command
 * leaves them out by the server's own clock.
 */
export class MongoDBBackend extends NativeBackend {
  readonly #connection: MongoConnection
  readonly #provision: boolean

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: MongoDBBackendOptions = {}) {
    super('mongodb', SUPPORTS, options)
    const { provision = true } = options
    if (typeof provision !== 'boolean') {
      throw invalidArgument(`provision must be true or false, not ${describeArgument(provision)}.`)
    }
    this.#provision = provision
    this.#connection = new MongoConnection(options, this.timeout)
  }

  protected override async _open(): Promise<void> {
    await this.#connection.open()
    await ensureIndexes(this.#collection, this.#provision)
  }

  protected override _close(): Promise<void> {
    return this.#connection.close()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    return toErrorFields(error)
  }

  protected override async _get(id: string): Promise<StoredEntry | undefined> {
    // The whole document: what a projection would save is a deadline.
    const found = await this.#collection.findOne({ _id: id, ...LIVE })
    return found === null ? undefined : { value: toBytes(found.value) }
  }

  protected override async _getEntry(id: string): Promise<BackendEntry | undefined> {
    const found = await this.#collection.findOne<{ value: unknown; ttl: number | null }>(
      { _id: id, ...LIVE },
      { projection: { value: 1, ttl: { $subtract: ['$expiresAt', '$$NOW'] } } },
    )
    return found === null ? undefined : { value: toBytes(found.value), ttl: found.ttl ?? undefined }
  }

  protected override async _has(id: string): Promise<boolean> {
    return (await this.#collection.findOne({ _id: id, ...LIVE }, { projection: { _id: 1 } })) !== null
  }

  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const entries = new Map<string, StoredEntry>()
    await this.inBatches(ids, BATCH, progress, async batch => {
      const found = this.#collection.find({ _id: { $in: batch }, ...LIVE }, PAGE)
      for await (const documents of pages(found, progress)) {
        for (const { _id, value } of documents) {
          // What is not ours is a miss here: it must not hide the other keys.
          if (isOurs(value)) entries.set(_id, { value: toBytes(value) })
        }
      }
    })
    return ids.map(id => entries.get(id))
  }

  protected override async _set(id: string, entry: NewEntry): Promise<void> {
    await unlessInsertedTwice(() => this.#collection.updateOne({ _id: id }, replaceWith(entry), { upsert: true }))
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    await this.inBatches(entries, BATCH, progress, async (batch, failed) => {
      for (let left = batch; left.length > 0; ) {
        const errors = (await this.#bulkSet(left)).map(error => ({ ...error, item: left[error.index] as Item }))
        for (const error of errors) if (!isDuplicateKey(error)) failed(error.item[0], error)
        left = errors.filter(isDuplicateKey).map(({ item }) => item)
        if (left.length > 0) progress(false)
      }
    })
  }

  /** Sets these entries, all in one command; answers what failed, each with its index among them. */
  async #bulkSet(entries: readonly Item[]): Promise<readonly WriteError[]> {
    const updates = entries.map(([id, entry]) => ({
      updateOne: { filter: { _id: id }, update: replaceWith(entry), upsert: true },
    }))
    try {
      await this.#collection.bulkWrite(updates, { ordered: false })
      return []
    } catch (error) {
      const errors = [(error as { writeErrors?: WriteError | WriteError[] }).writeErrors ?? []].flat()
      if (errors.length === 0) throw error
      return errors.map(({ index, code }) => ({ name: 'MongoWriteError', message: '', index, code }))
    }
  }

  protected override async _add(id: string, entry: NewEntry): Promise<boolean> {
    const [{ $replaceWith: document }] = replaceWith(entry)
    const unlessThere = [{ $replaceWith: { $cond: [EXISTS, '$$ROOT', document] } }]
    // An update that changes nothing modifies no document.
    const { modifiedCount, upsertedCount } = await unlessInsertedTwice(() =>
      this.#collection.updateOne({ _id: id }, unlessThere, { upsert: true }),
    )
    return modifiedCount + upsertedCount === 1
  }

  protected override async _compareAndSet(
    id: string,
    expected: Uint8Array,
    entry: NewEntry,
    progress: Progress,
  ): Promise<boolean> {
    if (expected.byteLength + entry.value.byteLength <= SUPPORTS.maxValueBytes) {
      const { matchedCount } = await this.#collection.updateOne(equalTo(id, expected), replaceWith(entry))
      return matchedCount === 1
    }
    // Both do not fit into one command. What was compared gets a mark, which stays as long as the value does.
    const mark = randomUUID()
    for (;;) {
      const compared = await this.#collection.updateOne(equalTo(id, expected), { $set: { mark } })
      if (compared.matchedCount === 0) return false
      const { matchedCount } = await this.#collection.updateOne({ _id: id, mark, ...LIVE }, replaceWith(entry))
      if (matchedCount === 1) return true
      progress()
    }
  }

  protected override async _compareAndDelete(id: string, expected: Uint8Array): Promise<boolean> {
    const { deletedCount } = await this.#collection.deleteOne(equalTo(id, expected))
    return deletedCount === 1
  }

  protected override async _increment(id: string, by: number, { ttl }: Deadline, progress: Progress): Promise<number> {
    // Both ends are safe integers, and so are all sums of what is between them.
    const least = Math.max(Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER - by)
    const most = Math.min(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - by)
    const isNumber = { $in: [{ $type: '$value' }, ['int', 'long', 'double']] }
    const isIntegerIn = (from: number, to: number): Document => {
      const fits = {
        $and: [{ $eq: [{ $mod: ['$value', 1] }, 0] }, { $gte: ['$value', from] }, { $lte: ['$value', to] }],
      }
      // Not $and: only $cond is sure not to look at the numbers of what has none.
      return { $cond: [isNumber, fits, false] }
    }
    const counts = isIntegerIn(least, most)
    const isCounter = isIntegerIn(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    const begin = { $cond: [EXISTS, '$$ROOT', { _id: '$_id', value: 0, ...deadline(ttl) }] }
    const count = {
      value: { $cond: [counts, { $add: ['$value', by] }, '$value'] },
      uncounted: { $cond: [counts, '$$REMOVE', { $cond: [isCounter, true, '$$REMOVE'] }] },
    }
    for (;;) {
      // No projection, and nothing of the document before: MongoDB answers a call that the driver sends again by the
      // document that it has kept, whole, whatever had been asked for.
      const after = await unlessInsertedTwice(() =>
        this.#collection.findOneAndUpdate({ _id: id }, [{ $replaceWith: begin }, { $set: count }], {
          upsert: true,
          returnDocument: 'after',
        }),
      )
      const { value, uncounted } = after as EntryDocument
      if (Number.isSafeInteger(value) && uncounted !== true) return value as number
      // No counter, or one whose sum or present value is no safe integer: the latter is kept as bytes.
      const expected = toBytes(value)
      const counted = addToCounter(expected, by)
      const { matchedCount } = await this.#collection.updateOne(equalTo(id, expected), {
        $set: { value: toValue(counted.bytes) },
      })
      if (matchedCount === 1) return counted.sum
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
    await this.inBatches(ids, BATCH, progress, async batch => {
      await this.#collection.deleteMany({ _id: { $in: batch } })
    })
  }

  /** In the order of the ids, so it ends however fast others write. */
  protected override async _clear(prefix: string, progress: Progress): Promise<void> {
    for await (const ids of this.#pages(prefix, {}, progress)) {
      await this.#collection.deleteMany({ _id: { $gte: ids[0] as string, $lte: ids.at(-1) as string } })
      progress()
    }
  }

  protected override async *_keys(prefix: string, progress: Progress): AsyncGenerator<string> {
    for await (const ids of this.#pages(prefix, LIVE, progress)) yield* ids
  }

  /** The ids of the documents whose id starts with `prefix`, each page found anew: a secondary could hide some of them. */
  async *#pages(prefix: string, filter: Document, progress: Progress): AsyncGenerator<string[]> {
    // Every prefix ends in ':', and ';' comes next.
    const end = `${prefix.slice(0, -1)};`
    for (let last: string | undefined = prefix; last !== undefined; ) {
      const page: { _id: string }[] = await this.#collection
        .find(
          { _id: { $gt: last, $lt: end }, ...filter },
          { ...PAGE, ...STRONG, projection: { _id: 1 }, sort: { _id: 1 } },
        )
        .limit(BATCH.keys)
        .toArray()
      progress()
      if (page.length > 0) yield page.map(({ _id }) => _id)
      last = page.length < BATCH.keys ? undefined : page.at(-1)?._id
    }
  }

  get #collection(): MongoConnection['collection'] {
    return this.#connection.collection
  }
}

type Item = readonly [id: string, entry: NewEntry]

interface WriteError {
  readonly index: number
  readonly code: number
}

/** Has the server answer a whole batch at once, as far as 16 MiB go: by itself it sends 101 documents at first. */
const PAGE = { batchSize: BATCH.keys + 1 }

/** The documents of a cursor, as they arrive. */
async function* pages<T>(cursor: FindCursor<T>, progress: Progress): AsyncGenerator<T[]> {
  while (await cursor.hasNext()) {
    progress()
    yield cursor.readBufferedDocuments()
  }
}

/** Of two upserts at once that both find nothing, one fails by the id of the other. Again, it finds a document. */
async function unlessInsertedTwice<T>(upsert: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await upsert()
    } catch (error) {
      if (!isDuplicateKey(error)) throw error
    }
  }
}

/** An update that replaces the document, or inserts one. `$literal` keeps values from being read as expressions. */
function replaceWith({ value, ttl, expiresAt }: NewEntry): [{ $replaceWith: Document }] {
  const time = ttl === undefined && expiresAt !== undefined ? { expiresAt: new Date(expiresAt) } : deadline(ttl)
  return [{ $replaceWith: { _id: '$_id', value: { $literal: toValue(value) }, ...time } }]
}

function deadline(ttl: number | undefined): Document {
  return ttl === undefined ? {} : { expiresAt: { $add: ['$$NOW', ttl] } }
}

/** The live document of this id with this value. */
function equalTo(id: string, value: Uint8Array): Filter<EntryDocument> {
  return { _id: id, value: toValue(value), ...LIVE } as Filter<EntryDocument>
}

/** Bytes as they are stored: those that spell a safe integer as that number, on which `increment` can go on. */
function toValue(bytes: Uint8Array): Uint8Array | number {
  return (
    toCounter(bytes) ?? (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  )
}

function isOurs(value: unknown): value is Uint8Array | number {
  return Number.isSafeInteger(value) || Buffer.isBuffer(value)
}

function toBytes(value: unknown): Uint8Array {
  if (!isOurs(value)) {
    throw new CacheError({
      code: 'CACHE_CORRUPT_ENTRY',
      message: 'the document of this key is not one of CacheKit: its value is neither bytes nor an integer',
    })
  }
  return typeof value === 'number' ? Buffer.from(String(value)) : value
}
