import type { LiveEntry, LiveStore, StoredEntry } from './backend.ts'
import type { Awaitable } from './cache.ts'
import type { Codec } from './codec.ts'
import { clone, cloneAgain, defaultCodec } from './default-codec.ts'
import { isCacheError } from './errors.ts'
import type { LiveRecord } from './local-tier.ts'
import type { Store } from './no-backend.ts'
import { decodeRecord, encodeRecord, isInteger, NO_TAGS } from './record.ts'

/** What a record says about itself. */
export interface RecordFields {
  /** `corrupt`: bytes that make no sense, which a load may overwrite. */
  readonly kind: 'entry' | 'lease' | 'token' | 'integer' | 'corrupt'
  /** Its own, as no two records share one. Empty for integers and what is corrupt. */
  readonly id: string
  /** When an entry becomes stale, in milliseconds since 1970. */
  readonly freshUntil?: number | undefined
  /** When a record ends, in milliseconds since 1970 by the clock of who wrote it. */
  readonly expiresAt?: number | undefined
  /** The id that the token of each tag had. */
  readonly tags: ReadonlyMap<string, string>
}

/** A record that was read. `swap` finds whether it is still there. */
export interface Stored extends RecordFields {
  /** The value, an object of its own at each call. May throw, or reject with, `CACHE_CORRUPT_ENTRY`. */
  read(): Awaitable<unknown>
  /** The same value, for another record. */
  readonly prepared: Prepared
}

/** A value ready to be stored: what happens to the caller's object from now on changes nothing. */
export interface Prepared {
  /** The value as a reader gets it: an object of its own. */
  copy(): Awaitable<unknown>
}

/** A record to be written. Entries have a value. */
export interface Draft extends RecordFields {
  readonly kind: 'entry' | 'lease' | 'token'
  readonly prepared?: Prepared | undefined
}

/** Records over a backend: the one place that knows whether a value lies there as bytes or as itself. ttls are in ms. */
export interface RecordStore {
  now(): number
  read(keys: readonly string[]): Awaitable<readonly (Stored | undefined)[]>
  /** Throws `CACHE_NOT_SERIALIZABLE` for a value that would not come back as it is. */
  prepare(key: string, value: unknown): Awaitable<Prepared>
  set(key: string, draft: Draft, ttl: number | undefined): Awaitable<void>
  setMany(entries: readonly (readonly [key: string, draft: Draft, ttl: number | undefined])[]): Awaitable<void>
  /** Writes `next` if `expected` (`undefined`: nothing) is still what is there, and answers what now is; else `undefined`. */
  swap(key: string, expected: Stored | undefined, next: Draft, ttl: number | undefined): Awaitable<Stored | undefined>
  /** Removes the record if it is still there. */
  remove(key: string, expected: Stored): Awaitable<boolean>
}

type Reading = Promise<readonly (Stored | undefined)[]>

/** As many keys as one call has: its own, and those of the tokens of its tags. Of batches, no two are alike. */
const MOST_SHARED = 33

/** Records as bytes: every backend can do that. */
export class EncodedRecords implements RecordStore {
  readonly now: () => number = Date.now
  readonly #backend: Store
  readonly #codec: Codec
  /** The reads that have begun, each with one that is about to. */
  readonly #begun = new Map<string, { next?: Reading | undefined }>()

  constructor(backend: Store, codec: Codec) {
    this.#backend = backend
    this.#codec = codec
  }

  /** Who wants what is just being read shares one more read with all who want it in this turn: it begins after they called. */
  read(keys: readonly string[]): Reading {
    if (keys.length > MOST_SHARED) return this.#read(keys)
    // No key in a store begins like that.
    const id = keys.length > 1 ? `~${JSON.stringify(keys)}` : (keys[0] as string)
    const begun = this.#begun.get(id)
    if (begun === undefined) return this.#read(keys, id)
    begun.next ??= Promise.resolve().then(() => {
      begun.next = undefined
      return this.#read(keys)
    })
    return begun.next
  }

  async #read(keys: readonly string[], id?: string): Reading {
    const key = keys[0] as string
    if (id) this.#begun.set(id, {})
    try {
      if (keys.length > 1) {
        const found = await this.#backend.getMany(keys)
        return found.map((bytes, index) => bytes && new BytesRecord(bytes, keys[index] as string, this.#codec))
      }
      const bytes = await this.#backend.get(key)
      return [bytes && new BytesRecord(bytes, key, this.#codec)]
    } catch (error) {
      // Something that the backend itself could not make sense of.
      if (keys.length === 1 && isCacheError(error, 'CACHE_CORRUPT_ENTRY'))
        return [new BytesRecord(undefined, key, this.#codec)]
      throw error
    } finally {
      if (id) this.#begun.delete(id)
    }
  }

  prepare(key: string, value: unknown): Awaitable<EncodedValue> {
    // Only the default codec leaves integers bare, as counters are: another one may be there to hide them.
    const integer = this.#codec === defaultCodec && isInteger(value) ? value : undefined
    return andThen(this.#codec.encode(value, key), payload => ({
      integer,
      payload,
      copy: () => this.#codec.decode(payload, key),
    }))
  }

  set(key: string, draft: Draft, ttl: number | undefined): Promise<void> {
    return this.#backend.set(key, this.#encode(draft), { ttl })
  }

  setMany(entries: readonly (readonly [string, Draft, number | undefined])[]): Promise<void> {
    return this.#backend.setMany(entries.map(([key, draft, ttl]) => [key, this.#encode(draft), { ttl }] as const))
  }

  async swap(
    key: string,
    expected: BytesRecord | undefined,
    next: Draft,
    ttl: number | undefined,
  ): Promise<Stored | undefined> {
    const bytes = this.#encode(next)
    let swapped = true
    if (expected === undefined) swapped = await this.#backend.add(key, bytes, { ttl })
    else if (expected.bytes === undefined) await this.#backend.set(key, bytes, { ttl })
    else swapped = await this.#backend.compareAndSet(key, expected.bytes, bytes, { ttl })
    return swapped ? new BytesRecord(bytes, key, this.#codec) : undefined
  }

  async remove(key: string, { bytes }: BytesRecord): Promise<boolean> {
    return bytes === undefined ? this.#backend.delete(key) : this.#backend.compareAndDelete(key, bytes)
  }

  #encode(draft: Draft): Uint8Array {
    const { integer, payload } = (draft.prepared ?? {}) as Partial<EncodedValue>
    return encode(draft, integer, payload, this.#codec.id)
  }
}

interface EncodedValue extends Prepared {
  readonly integer: number | undefined
  readonly payload: Uint8Array
}

/** The bytes of a record. An integer of which nothing more is to be said is bare, so that `increment` goes on from it. */
function encode(fields: RecordFields, integer: number | undefined, payload: Uint8Array | undefined, codec: string) {
  if (integer !== undefined && fields.freshUntil === undefined && fields.tags.size === 0) {
    return encodeRecord({ kind: 'integer', value: integer })
  }
  return encodeRecord({ ...fields, kind: fields.kind as 'entry', codec, payload: payload ?? Buffer.alloc(0) })
}

/** A record that was read as bytes; `undefined` where the backend had none to give. */
class BytesRecord implements LiveRecord {
  readonly kind: RecordFields['kind']
  readonly id: string = ''
  readonly freshUntil: number | undefined
  readonly expiresAt: number | undefined
  readonly tags: ReadonlyMap<string, string> = NO_TAGS
  readonly bytes: Uint8Array | undefined
  /** Set where the backend is in this process: the very object that lies there. */
  readonly source: StoredEntry | LiveEntry | undefined
  readonly #payload: unknown
  readonly #key: string
  readonly #codec: Codec

  constructor(bytes: Uint8Array | undefined, key: string, codec: Codec, source?: StoredEntry | LiveEntry) {
    this.bytes = bytes
    this.source = source
    this.#key = key
    this.#codec = codec
    const record = bytes && decodeRecord(bytes)
    if (record === undefined) {
      this.kind = 'corrupt'
    } else {
      this.kind = record.kind
      if (record.kind === 'integer') {
        this.#payload = record.value
        return
      }
      this.id = record.id
      this.freshUntil = record.freshUntil
      this.expiresAt = record.expiresAt
      this.tags = record.tags
      this.#payload = record.payload
      if (record.kind === 'entry' && record.codec !== codec.id) this.kind = 'corrupt'
    }
  }

  get value(): Uint8Array {
    return this.encode()
  }

  get size(): number {
    return this.encode().byteLength
  }

  encode(): Uint8Array {
    return this.bytes ?? new Uint8Array()
  }

  async answer(): Promise<unknown> {
    return this.read()
  }

  get prepared(): EncodedValue {
    const bare = this.kind === 'integer'
    const payload = bare ? defaultCodec.encode(this.#payload) : (this.#payload as Uint8Array)
    return { integer: bare ? (this.#payload as number) : undefined, payload, copy: () => this.read() }
  }

  read(): Awaitable<unknown> {
    return this.kind === 'integer' ? this.#payload : this.#codec.decode(this.#payload as Uint8Array, this.#key)
  }
}

/** Records as themselves, in a backend in this process: nothing is encoded until somebody reads it as bytes. */
export class LiveRecords implements RecordStore {
  readonly #live: LiveStore
  readonly #shares: boolean

  constructor(live: LiveStore) {
    this.#live = live
    this.#shares = live.isolation === 'share'
  }

  now(): number {
    return this.#live.now()
  }

  /**
   * The value under `key`, the user's, as a caller gets it, if it is a fresh one of ours: what is looked at before anything
   * else. `undefined`: only the long way can tell.
   */
  hit(key: string): Promise<unknown> | undefined {
    const entry = this.#live.get(key) as Partial<Entry> | undefined
    // Nothing but an `Entry` has this property, and to read it is cheaper than `instanceof`.
    return entry?.special === false ? (entry as Entry).answer() : undefined
  }

  read(keys: readonly string[]): readonly (Stored | undefined)[] {
    return keys.map(key => {
      const entry = this.#live.get(key)
      if (entry === undefined || entry instanceof Entry) return entry
      // Written as bytes, or by another copy of this package.
      return new BytesRecord('encode' in entry ? entry.encode() : entry.value, key, defaultCodec, entry)
    })
  }

  prepare(_key: string, value: unknown): LiveValue {
    return liveValue(this.#shares ? value : clone(value), this.#shares)
  }

  set(key: string, draft: Draft, ttl: number | undefined): void {
    this.#live.set(key, this.#entry(key, draft, ttl))
  }

  setMany(entries: readonly (readonly [string, Draft, number | undefined])[]): void {
    for (const entry of entries) this.set(...entry)
  }

  swap(
    key: string,
    expected: Entry | BytesRecord | undefined,
    next: Draft,
    ttl: number | undefined,
  ): Stored | undefined {
    const entry = this.#entry(key, next, ttl)
    return this.#live.swap(key, sourceOf(expected), entry) ? entry : undefined
  }

  remove(key: string, expected: Entry | BytesRecord): boolean {
    return this.#live.swap(key, sourceOf(expected), undefined)
  }

  #entry(key: string, draft: Draft, ttl: number | undefined): Entry {
    const ends = ttl === undefined ? undefined : this.#live.now() + ttl
    return new Entry(key, draft, (draft.prepared as LiveValue | undefined)?.kept, ends, this.#shares)
  }
}

/** What lies in the backend itself. */
function sourceOf(record: Entry | BytesRecord | undefined): LiveEntry | StoredEntry | undefined {
  return record instanceof BytesRecord ? record.source : record
}

interface LiveValue extends Prepared {
  readonly kept: unknown
}

const liveValue = (kept: unknown, shared: boolean): LiveValue => ({
  kept,
  copy: () => (shared ? kept : cloneAgain(kept)),
})

/** Makes of a record that was read as bytes one that holds its value, to lie in the local tier. */
export const keepIn =
  ({ isolation }: LiveStore) =>
  async (record: Stored): Promise<LiveRecord> =>
    new Entry(
      '',
      { kind: 'entry', id: record.id, tags: NO_TAGS },
      await record.read(),
      undefined,
      isolation === 'share',
    )

/** A live record of the cache. */
class Entry implements LiveRecord {
  // What a hit touches comes first, to lie in one cache line.
  /** Whether there is more to it than a value under the user's own key: `hit` knows nothing else. */
  readonly special: boolean
  readonly #shares: boolean
  #answer: Promise<unknown> | undefined = undefined
  readonly kind: RecordFields['kind']
  readonly id: string
  readonly freshUntil: number | undefined
  readonly expiresAt: number | undefined
  readonly tags: ReadonlyMap<string, string>
  readonly value: unknown

  constructor(
    key: string,
    { kind, id, freshUntil, tags }: RecordFields,
    value: unknown,
    expiresAt: number | undefined,
    shares: boolean,
  ) {
    this.kind = kind
    this.id = id
    this.freshUntil = freshUntil
    this.expiresAt = expiresAt
    this.tags = tags
    this.value = value
    this.special = key.startsWith('~') || kind !== 'entry' || freshUntil !== undefined || tags.size > 0
    this.#shares = shares
  }

  read(): unknown {
    return this.#shares ? this.value : cloneAgain(this.value)
  }

  get prepared(): LiveValue {
    return liveValue(this.value, this.#shares)
  }

  /** A value that is shared, in one promise for all: to make one for each would take a third of the time of a hit. */
  answer(): Promise<unknown> {
    if (!this.#shares) return Promise.resolve(cloneAgain(this.value))
    this.#answer ??= Promise.resolve(this.value)
    return this.#answer
  }

  encode(): Uint8Array {
    const payload = this.kind === 'entry' ? defaultCodec.encode(this.value) : undefined
    return encode(this, isInteger(this.value) ? this.value : undefined, payload, defaultCodec.id)
  }
}

// Most codecs answer at once. Waiting all the same would cost a turn of the event loop for each value of a batch.

export function isThenable<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof (value as Partial<PromiseLike<T>> | null | undefined)?.then === 'function'
}

export function andThen<T, R>(value: Awaitable<T>, then: (value: T) => R): Awaitable<R> {
  return isThenable(value) ? value.then(then) : then(value)
}
