/// <reference lib="esnext.disposable" preserve="true" />
import type { CacheBackend, LiveStore } from './backend.ts'
import type { CacheBus } from './bus.ts'
import { CacheView } from './cache-view.ts'
import type { Codec } from './codec.ts'
import type { Duration, Ttl } from './duration.ts'
import type { CacheEvents, CacheStats } from './events.ts'

export type Awaitable<T> = T | PromiseLike<T>
type Opt<T> = { [K in keyof T]?: T[K] | undefined }

/** What holds for every entry of a cache or namespace, unless a call says otherwise. */
export type CacheDefaults<T> = Opt<{
  /** Lifetime, or a function of the value that gives it. Default: `'forever'`. */
  ttl: Ttl | ((value: T) => Ttl)
  /**
   * What the entries can be deleted by, together, with `deleteByTag`: at most 32 strings of at most 256 bytes in UTF-8.
   * They are known before the value is loaded, and never computed from it: else a value that was loaded before a tag was
   * deleted could not be told from one that was loaded after. Default: none.
   */
  tags: readonly string[]
  /**
   * How long beyond its ttl a value may still be returned while it is loaded anew in the background (RFC 5861). Reading
   * other than by `getOrSet` never returns it, but for `getEntry`. Default: 0.
   */
  staleWhileRevalidate: Duration
  /** How long beyond its ttl a value may be returned where loading it anew fails (RFC 5861). Default: 0. */
  staleIfError: Duration
  /** The fraction of the ttl, 0 to 1, by which each lifetime is shortened at random, so that entries stored together do not
   * expire together. Default: 0. */
  jitter: number
  /** Keeps a loaded value out of the cache where it answers `false`. Default: every value is stored, also `undefined`. */
  shouldCache: (value: T) => boolean
  /**
   * How long a loader may take. After `soft` its callers get the stale value, where `staleIfError` allows it, or else
   * `CACHE_LOADER_TIMEOUT`, while it goes on and its value is stored. After `hard` its signal fires, its callers get
   * `CACHE_LOADER_TIMEOUT`, and its value is not stored. Default: no `soft`, and a `hard` of one minute.
   */
  loaderTimeout: Opt<{ soft: Duration; hard: Duration }>
  /**
   * A Standard Schema (https://standardschema.dev), such as one of Zod, Valibot or ArkType. A stored value that does not
   * fit is a miss, and is replaced by the next load; a loaded or set one rejects with `CACHE_INVALID_VALUE`.
   */
  schema: StandardSchema<T>
}>

/** The part of the Standard Schema specification that the cache uses. */
export interface StandardSchema<T> {
  readonly '~standard': {
    validate(value: unknown): Awaitable<
      | { readonly value: T; readonly issues?: undefined }
      | {
          readonly issues: readonly {
            readonly message: string
            readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
          }[]
        }
    >
  }
}

export type CacheOptions<T> = CacheDefaults<T> & {
  /** Where entries are stored. `undefined`: nowhere; loaders and wrapped functions then just run. */
  backend: CacheBackend | undefined
} & Opt<{
    /**
     * A backend in this process, such as `new InMemoryBackend()`, that keeps what was read from `backend`: a hit there
     * asks no store. What this process changes is gone from there at once, what others change as soon as the `bus` tells,
     * or else after `localTtl`. Counters are not kept. Default: none.
     */
    local: CacheBackend & { readonly live: LiveStore }
    /** How long a value stays there at most. Default: 5 s. */
    localTtl: Duration
    /** How processes tell each other what became invalid, such as `new RedisBus()`. Only with `local`. Default: not at all. */
    bus: CacheBus
    /** How values become bytes. Default: JSON where it is exact, a typed form where not; see `defaultCodec`. */
    codec: Codec
    /**
     * Who agrees on which process loads a missing key. `'store'`: all that use this store; whoever loads has a lease there,
     * which it renews each third of its `ttl` (default 5 s) while its loader runs, and the others wait for it, but no longer
     * than `wait` (default 30 s). `'process'`: nobody but this process, which spares writing the lease; an entry that
     * another process deletes may then be written back by a load of this one. Default: `'store'` where the backend is
     * shared, else `'process'`.
     */
    lease: 'store' | 'process' | Opt<{ scope: 'store' | 'process'; ttl: Duration; wait: Duration }>
    /** How long `getOrSet` waits for the store before it goes on without. Default: 500 ms. */
    storeTimeout: Duration
    /**
     * What happens when the store fails. `'load'`: `getOrSet` and wrapped functions run the loader and return its value, the
     * other methods reject. `'load-or-miss'`: in addition `get`, `getEntry`, `getMany` and `has` answer as for a miss.
     * `'reject'`: every method rejects. Default: `'load'`.
     */
    onStoreFailure: 'load' | 'load-or-miss' | 'reject'
    /**
     * After `failures` outages in a row (default 5) calls do not ask the store but fail at once with `CACHE_UNAVAILABLE`,
     * until it answers a probe; one is made each `retryAfter` (default 1 s) while there are calls. `false`: no breaker.
     */
    breaker: Opt<{ failures: number; retryAfter: Duration }> | false
  }>

/** Options of one call that may load. */
export type LoadOptions<T> = CacheDefaults<T> &
  Opt<{
    /** Loads anew, whatever is stored. Default: `false`. */
    refresh: boolean
    /** Ends this caller's wait: the call rejects with the signal's reason. The load goes on while others wait for it. */
    signal: AbortSignal
  }>

export type SetOptions = Opt<{
  /** Lifetime of the entry. Default: that of the namespace, else that of the cache, else `'forever'`. */
  ttl: Ttl
  /** Default: those of the namespace, else those of the cache. */
  tags: readonly string[]
}>

export type WrapOptions<A extends readonly unknown[], T> = Omit<CacheDefaults<T>, 'tags'> & {
  /** The first part of every key. Two functions wrapped with one name share their entries. */
  name: string
} & Opt<{
    /** What of the arguments makes the key. Default: all of them. */
    key: NoInfer<(...args: A) => unknown>
    /** The tags, or a function of the arguments that gives them. */
    tags: readonly string[] | NoInfer<(...args: A) => readonly string[]>
  }>

/** Loads the value of a key. The signal fires when no caller waits for it any more, and at the hard timeout. */
export type Loader<T> = (context: { readonly key: string; readonly signal: AbortSignal }) => Awaitable<T>

/** Loads the values of several keys. A key that the map does not have has no value. */
export type BulkLoader<T> = (
  keys: readonly string[],
  context: { readonly signal: AbortSignal },
) => Awaitable<ReadonlyMap<string, T>>

export interface CacheEntry<T> {
  readonly value: T
  /** Milliseconds until its ttl is over; `undefined` if the entry does not expire. */
  readonly ttl: number | undefined
  /** Whether its ttl is over, and it is kept for `staleWhileRevalidate` or `staleIfError` only. */
  readonly stale: boolean
  readonly tags: readonly string[]
}

/**
 * A cache of values over a backend of bytes. A miss is `undefined` (as is a cached `undefined`: `has` and `getEntry` tell
 * them apart); a failure rejects with a `CacheError`, see `onStoreFailure`.
 *
 * Keys are non-empty well-formed strings of at most 8 KiB in UTF-8, others reject with `CACHE_INVALID_KEY`.
 */
export interface Cache<V = unknown> extends AsyncDisposable {
  readonly backend: CacheBackend | undefined
  get<T extends V = V>(key: string): Promise<T | undefined>
  /** The value, also a stale one, and how long it has left. */
  getEntry<T extends V = V>(key: string): Promise<CacheEntry<T> | undefined>
  /** One answer for each key, in the order of the keys. */
  getMany<T extends V = V>(keys: readonly string[]): Promise<(T | undefined)[]>
  has(key: string): Promise<boolean>
  /** Rejects with `CACHE_NOT_SERIALIZABLE` for a value that would not come back as it is. */
  set(key: string, value: V, options?: SetOptions): Promise<void>
  /** `options` apply to the entries that bring none. */
  setMany(
    entries: Iterable<readonly [key: string, value: V, options?: SetOptions]>,
    options?: SetOptions,
  ): Promise<void>
  /** Stores the value if there is none. Of any number of concurrent callers exactly one gets `true`. */
  add(key: string, value: V, options?: SetOptions): Promise<boolean>
  /**
   * Adds `by` (a safe integer, default 1) and answers the sum. A missing key starts at 0 and takes `ttl`; an existing one
   * keeps its deadline. Safe integers that were `set` are counters, too.
   */
  increment(key: string, by?: number, options?: Opt<{ ttl: Ttl }>): Promise<number>
  /** Gives an entry a new lifetime. `false` if there is none. */
  touch(key: string, options?: Opt<{ ttl: Ttl }>): Promise<boolean>
  /** `false` if there was nothing to delete. A load of this key that is under way will not be stored. */
  delete(key: string): Promise<boolean>
  deleteMany(keys: readonly string[]): Promise<void>
  /**
   * Deletes every entry of this namespace that carries one of the tags, in one call of the store however many they are:
   * they stay there until they expire, but nobody sees them any more.
   */
  deleteByTag(...tags: string[]): Promise<void>
  /** Removes every entry of this namespace and of those made from it, and nothing else. */
  clear(): Promise<void>
  keys(): AsyncIterable<string>
  /**
   * The stored value, or else the one that `loader` gives, stored. However many callers wait, in however many processes
   * (see `lease`), the loader runs once. Its error reaches every caller of its process as it is, and nothing is stored.
   *
   * Let a `delete`, `set`, `deleteByTag` or `clear` begin and end: no call that starts after its end returns a value whose
   * loader was called before its beginning.
   */
  getOrSet<T extends V>(key: string, loader: Loader<T>, options?: LoadOptions<NoInfer<T>>): Promise<T>
  /**
   * One answer for each key, in the order of the keys: as by `getOrSet`, but one call of `loader` loads all that are
   * missing. A key that its map does not have is `undefined`, and is not stored; what else the map has is ignored.
   */
  getOrSetMany<T extends V>(
    keys: readonly string[],
    loader: BulkLoader<T>,
    options?: LoadOptions<NoInfer<T>>,
  ): Promise<(T | undefined)[]>
  /** A cached function with the signature of `fn`. */
  wrap<A extends readonly unknown[], T extends V>(
    fn: (...args: A) => Awaitable<T>,
    options: WrapOptions<A, NoInfer<T>>,
  ): Wrapped<A, T>
  /** A cache of its own on the same store; `defaults` go before those of this cache. */
  namespace<T extends V = V>(name: string, defaults?: CacheDefaults<T>): Cache<T>
  /** Calls `listener` at each such event of this cache and its namespaces. What it throws is a warning of the process. */
  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void
  /** What happened so far in this cache and all its namespaces. */
  stats(): CacheStats
  /** Connects now rather than at the first call. */
  open(): Promise<void>
  /** Waits for what is under way, then closes the backend, the local one and the bus. On a namespace: ends that view only. */
  close(): Promise<void>
}

/** A cached function. */
export interface Wrapped<A extends readonly unknown[], T> {
  (...args: A): Promise<T>
  /** The key under which the result for these arguments is stored. */
  key(...args: A): string
  /** Runs the function and stores its result anew. */
  refresh(...args: A): Promise<T>
  /** Forgets the result for these arguments. */
  delete(...args: A): Promise<boolean>
}

/**
 * Makes a cache.
 *
 * @throws `CACHE_INVALID_ARGUMENT` or `CACHE_INVALID_TTL` at once for an option that is not what it should be.
 */
export function createCache<T = unknown>(options: CacheOptions<T>): Cache<T> {
  return CacheView.create(options)
}
