/// <reference lib="esnext.disposable" preserve="true" />
import type { CacheBackend } from './backend.ts'
import { CacheView } from './cache-view.ts'
import type { Codec } from './codec.ts'
import type { Duration, Ttl } from './duration.ts'

export type Awaitable<T> = T | PromiseLike<T>
type Opt<T> = { [K in keyof T]?: T[K] | undefined }

/** What holds for every entry of a cache or namespace, unless a call says otherwise. */
export type CacheDefaults<T> = Opt<{
  /** Lifetime, or a function of the value that gives it. Default: `'forever'`. */
  ttl: Ttl | ((value: T) => Ttl)
  /** The fraction of the ttl, 0 to 1, by which each lifetime is shortened at random, so that entries stored together do not
   * expire together. Default: 0. */
  jitter: number
  /** Keeps a loaded value out of the cache where it answers `false`. Default: every value is stored, also `undefined`. */
  shouldCache: (value: T) => boolean
}>

export type CacheOptions<T> = CacheDefaults<T> & {
  /** Where entries are stored. `undefined`: nowhere; loaders and wrapped functions then just run. */
  backend: CacheBackend | undefined
} & Opt<{
    /** How values become bytes. Default: JSON where it is exact, a typed form where not; see `defaultCodec`. */
    codec: Codec
    /** How long `getOrSet` waits for the store before it goes on without. Default: 500 ms. */
    storeTimeout: Duration
    /**
     * What happens when the store fails. `'load'`: `getOrSet` and wrapped functions run the loader and return its value, the
     * other methods reject. `'load-or-miss'`: in addition `get`, `getEntry`, `getMany` and `has` answer as for a miss.
     * `'reject'`: every method rejects. Default: `'load'`.
     */
    onStoreFailure: 'load' | 'load-or-miss' | 'reject'
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
}>

export type WrapOptions<A extends readonly unknown[], T> = CacheDefaults<T> & {
  /** The first part of every key. Two functions wrapped with one name share their entries. */
  name: string
} & Opt<{
    /** What of the arguments makes the key. Default: all of them. */
    key: NoInfer<(...args: A) => unknown>
  }>

/** Loads the value of a key. The signal fires when no caller waits for it any more. */
export type Loader<T> = (context: { readonly key: string; readonly signal: AbortSignal }) => Awaitable<T>

export interface CacheEntry<T> {
  readonly value: T
  /** Milliseconds left; `undefined` if the entry does not expire. */
  readonly ttl: number | undefined
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
  /** The value and how long it has left. */
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
  /** Removes every entry of this namespace and of those made from it, and nothing else. */
  clear(): Promise<void>
  keys(): AsyncIterable<string>
  /**
   * The stored value, or else the one that `loader` gives, stored. However many callers of this process wait, the loader
   * runs once; its error reaches every one of them as it is, and nothing is stored.
   */
  getOrSet<T extends V>(key: string, loader: Loader<T>, options?: LoadOptions<NoInfer<T>>): Promise<T>
  /** A cached function with the signature of `fn`. */
  wrap<A extends readonly unknown[], T extends V>(
    fn: (...args: A) => Awaitable<T>,
    options: WrapOptions<A, NoInfer<T>>,
  ): Wrapped<A, T>
  /** A cache of its own on the same store; `defaults` go before those of this cache. */
  namespace<T extends V = V>(name: string, defaults?: CacheDefaults<T>): Cache<T>
  /** Connects now rather than at the first call. */
  open(): Promise<void>
  /** Waits for what is under way, then closes the backend. On a namespace: ends that view only. */
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
