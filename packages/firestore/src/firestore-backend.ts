import {
  type BackendOptions,
  type BackendSupports,
  BaseBackend,
  type CacheErrorFields,
  type Deadline,
  describeArgument,
  invalidArgument,
  isCacheError,
  type NewEntry,
  type Progress,
  type StoredEntry,
} from '@cachekit/core'
import type { Document, FirestoreClient, Snapshot, WriteBatch } from './client.ts'
import { FirestoreConnection } from './connection.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { Status, statusOf, toErrorFields } from './errors.ts'
import { Increments } from './increments.ts'
import {
  deadlineOf,
  documentName,
  type FirestoreEntry,
  idOf,
  idRange,
  maxValueBytes,
  messageBytes,
  toChange,
  toEntry,
  toFields,
} from './schema.ts'

/** Options of {@link FirestoreBackend}. */
export interface FirestoreBackendOptions extends BackendOptions, ConnectionOptions {
  /** The collection at the top of the database that holds the entries. Default: `'cachekit'`. */
  readonly collection?: string | undefined
}

const SUPPORTS: Omit<BackendSupports, 'maxValueBytes'> = {
  /** A filter cannot name the server's time. */
  clock: 'caller',
  persistent: true,
  shared: true,
  evicts: false,
  iteration: true,
}

/** How many documents one request writes, and in about how many bytes. Firestore takes 10 MiB, its emulator 4. */
const BATCH = { keys: 250, bytes: 2 * 1024 * 1024 }
/** How many documents one request reads: they may have a mebibyte each, and come within the timeout or not at all. */
const READ_BATCH = { keys: 100 }
/** At most so many ids are held in memory. */
const MAX_PAGE = 10_000

/** A write to a document was refused because of what is there, or is not. */
const CONFLICTS: ReadonlySet<number | undefined> = new Set([
  Status.ALREADY_EXISTS,
  Status.NOT_FOUND,
  Status.FAILED_PRECONDITION,
])

/** Entries in Google Cloud Firestore: one document each. */
export class FirestoreBackend extends BaseBackend {
  readonly #connection: FirestoreConnection
  readonly #collection: string
  readonly #increments: Increments

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: FirestoreBackendOptions = {}) {
    const { collection = 'cachekit' } = options
    assertCollection(collection)
    super('firestore', { ...SUPPORTS, maxValueBytes: maxValueBytes(collection) }, options)
    this.#collection = collection
    this.#connection = new FirestoreConnection(options, this.timeout, () => this.disconnected())
    const swap = this._swap.bind(this)
    this.#increments = new Increments({ read: id => this.#readCounter(id), swap }, this.timeout)
  }

  protected override _open(): Promise<void> {
    return this.#connection.open(client => client.getAll(this.#document(client, '')))
  }

  protected override _close(): Promise<void> {
    return this.#connection.close()
  }

  protected override _timedOut(): void {
    this.#connection.timedOut()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    return toErrorFields(error)
  }

  protected override async _get(id: string): Promise<FirestoreEntry | undefined> {
    const [snapshot] = await this.#read([id])
    return toEntry(snapshot as Snapshot)
  }

  protected override async _has(id: string): Promise<boolean> {
    const [snapshot] = await this.#read([id], ['expiresAt'])
    return snapshot?.exists === true && this.isLive({ expiresAt: deadlineOf(snapshot) })
  }

  /** A document that is not ours is a miss here, and fails no batch. */
  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const entries = new Array<StoredEntry | undefined>(ids.length)
    await this.inBatches(ids, READ_BATCH, progress, async (batch, _failed, start) => {
      for (const [index, snapshot] of (await this.#read(batch)).entries()) {
        entries[start + index] = unlessCorrupt(() => toEntry(snapshot))
      }
    })
    return entries
  }

  protected override _set(id: string, entry: NewEntry): Promise<void> {
    return this.#write([id], (batch, document) => batch.set(document, toFields(id, entry)))
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    await this.inBatches(entries, { ...BATCH, size: messageBytes }, progress, items =>
      this.#connection.commit((batch, client) => {
        for (const [id, entry] of items) batch.set(this.#document(client, id), toFields(id, entry))
      }),
    )
  }

  /** In one request where there is no document; an expired one is read and then replaced. */
  protected override async _add(id: string, entry: NewEntry, progress: Progress): Promise<boolean> {
    return (await this._swap(id, undefined, entry)) || super._add(id, entry, progress)
  }

  protected override async _swap(
    id: string,
    expected: StoredEntry | undefined,
    next: NewEntry | undefined,
  ): Promise<boolean> {
    try {
      await this.#write([id], (batch, document) => {
        if (expected === undefined) return next && batch.create(document, toFields(id, next))
        const unchanged = { lastUpdateTime: (expected as FirestoreEntry).updateTime }
        if (next === undefined) return batch.delete(document, unchanged)
        return batch.update(document, toChange(next), unchanged)
      })
      return true
    } catch (error) {
      if (CONFLICTS.has(statusOf(error))) return false
      throw error
    }
  }

  protected override _increment(id: string, by: number, deadline: Deadline, progress: Progress): Promise<number> {
    return this.#increments.add(id, by, deadline, progress)
  }

  protected override async _delete(id: string, progress: Progress): Promise<boolean> {
    try {
      return await super._delete(id, progress)
    } catch (error) {
      if (!isCacheError(error, 'CACHE_CORRUPT_ENTRY')) throw error
      await this._deleteMany([id], progress)
      return true
    }
  }

  protected override async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.inBatches(ids, BATCH, progress, items => this.#write(items, (batch, document) => batch.delete(document)))
  }

  protected override async _clear(prefix: string, progress: Progress): Promise<void> {
    for await (const page of this.#pages(prefix, ['id'], progress)) {
      for (let start = 0; start < page.length; start += BATCH.keys) {
        await this.#connection.commit(batch => {
          for (const { ref } of page.slice(start, start + BATCH.keys)) batch.delete(ref)
        })
        progress()
      }
    }
  }

  protected override async *_keys(prefix: string, progress: Progress): AsyncGenerator<string> {
    for await (const page of this.#pages(prefix, ['id', 'longId', 'expiresAt'], progress)) {
      for (const snapshot of page)
        if (unlessCorrupt(() => this.isLive({ expiresAt: deadlineOf(snapshot) }))) yield idOf(snapshot)
    }
  }

  /** The documents whose ids start with `prefix`, page by page, each behind the last id of the page before it. */
  async *#pages(prefix: string, fields: string[], progress: Progress): AsyncGenerator<Snapshot[]> {
    const { from, before } = idRange(prefix)
    // Firestore finds some thousands in a second, and all of a page have to come within the timeout.
    const size = Math.min(Math.ceil(this.timeout / 2), MAX_PAGE)
    let last: unknown
    for (;;) {
      const { docs } = await this.#connection.run(client => {
        const ids = client.collection(this.#collection).where('id', '>=', from).where('id', '<', before).orderBy('id')
        return (last === undefined ? ids : ids.startAfter(last))
          .select(...fields)
          .limit(size)
          .get()
      })
      progress()
      if (docs.length > 0) yield docs
      if (docs.length < size) return
      last = docs.at(-1)?.get('id')
    }
  }

  async #readCounter(id: string): Promise<{ live: StoredEntry | undefined; stored: StoredEntry | undefined }> {
    const stored = await this._get(id)
    return { live: this.isLive(stored) ? stored : undefined, stored }
  }

  /** The documents of these entries, in their order, with all fields or only some. */
  #read(ids: readonly string[], fieldMask?: string[]): Promise<Snapshot[]> {
    return this.#connection.run(client =>
      client.getAll(...ids.map(id => this.#document(client, id)), ...(fieldMask ? [{ fieldMask }] : [])),
    )
  }

  /** Writes to the documents of these entries, to all of them or none. */
  #write(ids: readonly string[], write: (batch: WriteBatch, document: Document, id: string) => unknown): Promise<void> {
    return this.#connection.commit((batch, client) => {
      for (const id of ids) write(batch, this.#document(client, id), id)
    })
  }

  #document(client: FirestoreClient, id: string): Document {
    return client.collection(this.#collection).doc(documentName(id))
  }
}

function unlessCorrupt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isCacheError(error, 'CACHE_CORRUPT_ENTRY')) return undefined
    throw error
  }
}

/** See https://cloud.google.com/firestore/quotas#collections_documents_and_fields. */
function assertCollection(collection: unknown): void {
  const fits =
    typeof collection === 'string' &&
    collection !== '' &&
    collection.isWellFormed() &&
    Buffer.byteLength(collection) <= 1500 &&
    !/\/|^\.\.?$|^__.*__$/.test(collection)
  if (!fits) {
    throw invalidArgument(
      `collection must be the id of a collection, without a slash, not ${describeArgument(collection)}.`,
    )
  }
}
