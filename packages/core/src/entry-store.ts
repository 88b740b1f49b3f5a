import type { CacheBackend, LiveEntry, LiveStore, StoredEntry } from './backend.ts'
import type { Awaitable } from './cache.ts'
import type { Codec } from './codec.ts'
import { clone, cloneAgain, defaultCodec } from './default-codec.ts'
import { CacheError, isCacheError } from './errors.ts'
import { estimateSize } from './estimate-size.ts'
import { decodeRecord, type EntryRecord, encodeRecord, isInteger, newId } from './record.ts'

const NO_TAGS: ReadonlyMap<string, string> = new Map()

/** What is stored under a key: a value, nothing, or bytes that make no sense (a miss that a load may overwrite). */
export type Found = { readonly value: unknown } | undefined | typeof CORRUPT
export const CORRUPT: unique symbol = Symbol('corrupt')

/** A value ready to be stored. What happens to the caller's object from now on changes nothing. */
export interface PreparedValue {
  /** @param ttl Milliseconds; `undefined`: no expiry. */
  set(ttl: number | undefined): Awaitable<void>
  add(ttl: number | undefined): Awaitable<boolean>
  /** The value as a reader gets it: an object of its own. */
  copy(): Awaitable<unknown>
}

/** Values over a backend: the one place that knows whether a value lies there as bytes or as itself. */
export interface EntryStore {
  get(key: string): Awaitable<Found>
  getMany(keys: readonly string[]): Promise<readonly Found[]>
  getWithTtl(key: string): Awaitable<{ readonly value: unknown; readonly ttl: number | undefined } | undefined>
  /** Throws `CACHE_NOT_SERIALIZABLE` for a value that would not come back as it is. */
  prepare(key: string, value: unknown): Awaitable<PreparedValue>
  setMany(entries: readonly (readonly [key: string, value: unknown, ttl: number | undefined])[]): Promise<void>
  touch(key: string, ttl: number | undefined): Awaitable<boolean>
}

/** Values as bytes: every backend can do that. */
export class EncodedEntries implements EntryStore {
  readonly #backend: CacheBackend
  readonly #codec: Codec

  constructor(backend: CacheBackend, codec: Codec) {
    this.#backend = backend
    this.#codec = codec
  }

  async get(key: string): Promise<Found> {
    try {
      return this.#decode(await this.#backend.get(key), key)
    } catch (error) {
      return corruptOrThrow(error) // a record that the backend itself could not make sense of
    }
  }

  async getMany(keys: readonly string[]): Promise<readonly Found[]> {
    const values = await this.#backend.getMany(keys)
    return all(values.map((bytes, index) => this.#decode(bytes, keys[index] as string)))
  }

  async getWithTtl(key: string): Promise<{ value: unknown; ttl: number | undefined } | undefined> {
    try {
      const entry = await this.#backend.getEntry(key)
      const found = await this.#decode(entry?.value, key)
      return found === undefined || found === CORRUPT ? undefined : { value: found.value, ttl: entry?.ttl }
    } catch (error) {
      corruptOrThrow(error)
      return undefined
    }
  }

  prepare(key: string, value: unknown): Awaitable<PreparedValue> {
    return andThen(encodeValue(value, key, this.#codec), bytes => ({
      set: ttl => this.#backend.set(key, bytes, { ttl }),
      add: ttl => this.#backend.add(key, bytes, { ttl }),
      copy: () => decodeValue(bytes, key, this.#codec),
    }))
  }

  async setMany(entries: readonly (readonly [string, unknown, number | undefined])[]): Promise<void> {
    const values = await all(entries.map(([key, value]) => encodeValue(value, key, this.#codec)))
    await this.#backend.setMany(entries.map(([key, , ttl], index) => [key, values[index] as Uint8Array, { ttl }]))
  }

  touch(key: string, ttl: number | undefined): Promise<boolean> {
    return this.#backend.touch(key, { ttl })
  }

  #decode(bytes: Uint8Array | undefined, key: string): Awaitable<Found> {
    if (bytes === undefined) return undefined
    try {
      const value = decodeValue(bytes, key, this.#codec)
      return isThenable(value) ? value.then(decoded => ({ value: decoded }), corruptOrThrow) : { value }
    } catch (error) {
      return corruptOrThrow(error)
    }
  }
}

/** Values as themselves, in a backend in this process: nothing is encoded until somebody reads it as bytes. */
export class LiveEntries implements EntryStore {
  readonly #live: LiveStore
  readonly #backend: CacheBackend
  readonly #shares: boolean
  /** Copies a caller's value. */
  readonly #keep: (value: unknown) => unknown
  /** Copies a kept value. */
  readonly #copy: (value: unknown) => unknown

  constructor(live: LiveStore, backend: CacheBackend) {
    this.#live = live
    this.#backend = backend
    const share = (value: unknown): unknown => value
    this.#shares = live.isolation === 'share'
    this.#keep = this.#shares ? share : clone
    this.#copy = this.#shares ? share : cloneAgain
  }

  /** The stored value as a caller gets it, if it is a live one of ours; what is looked at before anything else. */
  hit(key: string): Promise<unknown> | undefined {
    const entry = this.#live.get(key)
    if (!(entry instanceof Entry)) return undefined
    return this.#shares ? entry.shared : Promise.resolve(this.#copy(entry.value))
  }

  get(key: string): Found {
    return this.#found(this.#live.get(key))
  }

  async getMany(keys: readonly string[]): Promise<readonly Found[]> {
    return keys.map(key => this.get(key))
  }

  getWithTtl(key: string): { value: unknown; ttl: number | undefined } | undefined {
    const entry = this.#live.get(key)
    const found = this.#found(entry)
    if (entry === undefined || found === undefined || found === CORRUPT) return undefined
    return { value: found.value, ttl: entry.expiresAt === undefined ? undefined : entry.expiresAt - this.#live.now() }
  }

  prepare(_key: string, value: unknown): PreparedValue {
    const kept = this.#keep(value)
    return {
      set: ttl => this.#live.set(_key, this.#entry(kept, ttl)),
      add: ttl => this.#live.swap(_key, undefined, this.#entry(kept, ttl)),
      copy: () => this.#copy(kept),
    }
  }

  async setMany(entries: readonly (readonly [string, unknown, number | undefined])[]): Promise<void> {
    const prepared = entries.map(([key, value, ttl]) => [this.prepare(key, value), ttl] as const)
    for (const [value, ttl] of prepared) value.set(ttl)
  }

  touch(key: string, ttl: number | undefined): Awaitable<boolean> {
    const entry = this.#live.get(key)
    if (entry instanceof Entry) return this.#live.swap(key, entry, this.#entry(entry.value, ttl))
    return entry === undefined ? false : this.#backend.touch(key, { ttl })
  }

  #entry(value: unknown, ttl: number | undefined): Entry {
    return new Entry(value, ttl === undefined ? undefined : this.#live.now() + ttl)
  }

  #found(entry: LiveEntry | StoredEntry | undefined): Found {
    if (entry === undefined) return undefined
    if (entry instanceof Entry) return { value: this.#copy(entry.value) }
    try {
      // Written as bytes, or by another copy of this package.
      const bytes = 'encode' in entry ? entry.encode() : entry.value
      return { value: decodeDefault(bytes) }
    } catch (error) {
      return corruptOrThrow(error)
    }
  }
}

/** A live value of the cache. */
export class Entry implements LiveEntry {
  readonly value: unknown
  readonly expiresAt: number | undefined
  #shared: Promise<unknown> | undefined = undefined

  constructor(value: unknown, expiresAt: number | undefined) {
    this.value = value
    this.expiresAt = expiresAt
  }

  /** The value itself, in one promise for all readers: to make one for each would take a third of the time of a hit. */
  get shared(): Promise<unknown> {
    this.#shared ??= Promise.resolve(this.value)
    return this.#shared
  }

  /** Only asked for where the backend counts bytes. */
  get size(): number {
    return estimateSize(this.value)
  }

  encode(): Uint8Array {
    return encodeDefault(this.value)
  }
}

/** The record of a value. */
function encodeValue(value: unknown, key: string, codec: Codec): Awaitable<Uint8Array> {
  // Only the default codec leaves integers bare, as counters are: another one may be there to hide them.
  if (codec === defaultCodec) return encodeDefault(value)
  return andThen(codec.encode(value, key), payload => toRecord(codec, payload))
}

function encodeDefault(value: unknown): Uint8Array {
  return isInteger(value)
    ? encodeRecord({ kind: 'integer', value })
    : toRecord(defaultCodec, defaultCodec.encode(value))
}

function toRecord(codec: Codec, payload: Uint8Array): Uint8Array {
  return encodeRecord({ kind: 'entry', id: newId(), tags: NO_TAGS, codec: codec.id, payload })
}

function decodeValue(bytes: Uint8Array, key: string, codec: Codec): Awaitable<unknown> {
  const record = decodeRecord(bytes)
  if (record.kind === 'integer') return record.value
  assertCodec(record, codec)
  return codec.decode(record.payload, key)
}

function decodeDefault(bytes: Uint8Array): unknown {
  const record = decodeRecord(bytes)
  if (record.kind === 'integer') return record.value
  assertCodec(record, defaultCodec)
  return defaultCodec.decode(record.payload)
}

function assertCodec(record: EntryRecord, codec: Codec): void {
  if (record.kind === 'entry' && record.codec === codec.id) return
  throw new CacheError({
    code: 'CACHE_CORRUPT_ENTRY',
    message: `The record is no entry of the codec ${codec.id}.`,
  })
}

// Most codecs answer at once. Waiting all the same would cost a turn of the event loop for each value of a batch.

export function isThenable<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function andThen<T, R>(value: Awaitable<T>, then: (value: T) => R): Awaitable<R> {
  return isThenable(value) ? value.then(then) : then(value)
}

function all<T>(values: readonly Awaitable<T>[]): Awaitable<readonly T[]> {
  return values.some(isThenable) ? Promise.all(values) : (values as readonly T[])
}

function corruptOrThrow(error: unknown): typeof CORRUPT {
  if (isCacheError(error, 'CACHE_CORRUPT_ENTRY')) return CORRUPT
  throw error
}
