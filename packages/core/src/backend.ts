/// <reference lib="esnext.disposable" preserve="true" />
// The contract of a backend: what a cache may rely on, whatever the store. It is proven by `@cachekit/core/conformance`.

/** What a backend and its store can do. Data, frozen and the same for the whole life of the backend. */
export interface BackendSupports {
  /** The largest value in bytes; a larger one rejects with `CACHE_VALUE_TOO_LARGE` before anything is sent. */
  readonly maxValueBytes: number
  /** Whose clock decides that an entry has expired: the store's, or that of the calling process (`now`). */
  readonly clock: 'store' | 'caller'
  /** Entries survive a restart of the store. */
  readonly persistent: boolean
  /** Other processes see the same entries. */
  readonly shared: boolean
  /** The store may drop live entries when it runs out of room. */
  readonly evicts: boolean
  /** `keys()` works. */
  readonly iteration: boolean
}

export interface WriteOptions {
  /** Lifetime in milliseconds, finite and > 0; fractions are rounded up. Default: no expiry. */
  readonly ttl?: number | undefined
}

export interface BackendEntry {
  readonly value: Uint8Array
  /** Milliseconds left; `undefined` if the entry does not expire. */
  readonly ttl: number | undefined
}

/**
 * A store of bytes under string keys inside a namespace, for a time.
 *
 * A key is any non-empty well-formed string of at most 8 KiB in UTF-8. A miss is `undefined`; a failure rejects with a
 * `CacheError`. No method throws synchronously except `namespace`. Every call settles within the backend's `timeout`
 * (`clear`, `keys` and batches: when there was no progress for that long).
 */
export interface CacheBackend extends AsyncDisposable {
  /** The store's name, for messages: `redis`. */
  readonly name: string
  readonly supports: BackendSupports
  /** Where entries live in this process: a synchronous view of them that costs no serialisation. */
  readonly live?: LiveStore | undefined
  get(key: string): Promise<Uint8Array | undefined>
  /** The value and how long it has left. */
  getEntry(key: string): Promise<BackendEntry | undefined>
  /** One answer for each key, in the order of the keys. */
  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]>
  has(key: string): Promise<boolean>
  /** Replaces value and deadline: without a ttl the entry does not expire, also if it did before. */
  set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void>
  /** `options` apply to the entries that bring none. The last one of several entries with the same key wins. */
  setMany(
    entries: Iterable<readonly [key: string, value: Uint8Array, options?: WriteOptions]>,
    options?: WriteOptions,
  ): Promise<void>
  /** Stores the value if there is none. Of any number of concurrent callers exactly one gets `true`. */
  add(key: string, value: Uint8Array, options?: WriteOptions): Promise<boolean>
  /** Stores `value` if the stored bytes equal `expected`, in one atomic step. `ttl` as in `set`. */
  compareAndSet(key: string, expected: Uint8Array, value: Uint8Array, options?: WriteOptions): Promise<boolean>
  /** Deletes the entry if the stored bytes equal `expected`, in one atomic step. */
  compareAndDelete(key: string, expected: Uint8Array): Promise<boolean>
  /**
   * Adds `by` (a safe integer, default 1) and answers the sum. A missing key starts at 0 and takes `ttl`; an existing
   * one keeps its deadline. `get` answers the number in ASCII, and `set` of such bytes makes a counter.
   */
  increment(key: string, by?: number, options?: WriteOptions): Promise<number>
  /** Gives a live entry a new lifetime; `undefined`: no expiry. `false` if there is none. */
  touch(key: string, options: { readonly ttl: number | undefined }): Promise<boolean>
  /** `false` if there was nothing to delete. */
  delete(key: string): Promise<boolean>
  deleteMany(keys: readonly string[]): Promise<void>
  /** Removes every entry of this namespace and of those made from it, and nothing else. */
  clear(): Promise<void>
  /** The live keys of this namespace, without those of the namespaces made from it. In no order. */
  keys(): AsyncIterable<string>
  /**
   * A view of the same store whose keys are its own. Throws `CACHE_INVALID_ARGUMENT` unless `name` is a non-empty
   * well-formed string of at most 256 bytes in UTF-8.
   */
  namespace(name: string): CacheBackend
  /** Connects now rather than at the first call, and creates what the store needs. */
  open(): Promise<void>
  /** Waits for what is under way, then frees what this backend opened. On a namespace view: ends that view only. */
  close(): Promise<void>
}

/** A stored record, as `_get` reads it. */
export interface StoredEntry {
  readonly value: Uint8Array
  /** Deadline in milliseconds since 1970, by the clock that decides. `undefined`: no expiry. */
  readonly expiresAt?: number | undefined
}

/** A record to be stored. */
export interface NewEntry extends StoredEntry {
  /**
   * The same deadline, relative: milliseconds from now. Set whenever the deadline is new; a deadline that is kept (by
   * `increment`) comes as `expiresAt` alone.
   */
  readonly ttl?: number | undefined
}

/** A live entry of a backend in this process: the value itself, encoded only when somebody asks for bytes. */
export interface LiveEntry {
  readonly value: unknown
  /** Deadline in milliseconds since 1970. `undefined`: no expiry. */
  readonly expiresAt?: number | undefined
  /** Size of the value in bytes, for `maxBytes`; an estimate is enough. Default: an estimate of the backend. */
  readonly size?: number | undefined
  encode(): Uint8Array
}

/** A synchronous view of entries that live in this process. It shares them with the backend's other methods. */
export interface LiveStore {
  /** `clone`: whoever puts a value in or takes one out clones it. `share`: the object itself is handed out. */
  readonly isolation: 'clone' | 'share'
  /** The clock of this store, in milliseconds since 1970: deadlines of live entries are made from it. */
  now(): number
  /** The live entry, or the record that was stored as bytes; `undefined` once it has expired. `CACHE_CLOSED` after `close`. */
  get(key: string): LiveEntry | StoredEntry | undefined
  set(key: string, entry: LiveEntry): void
  /** Replaces the entry if it is still `expected` (by identity; `undefined`: there is none). `next` `undefined`: removes it. */
  swap(key: string, expected: LiveEntry | StoredEntry | undefined, next: LiveEntry | undefined): boolean
}
