import type { CacheBackend } from './backend.ts'
import type {
  Awaitable,
  Cache,
  CacheDefaults,
  CacheEntry,
  CacheOptions,
  Loader,
  LoadOptions,
  SetOptions,
  WrapOptions,
  Wrapped,
} from './cache.ts'
import type { Codec } from './codec.ts'
import { Deadlines, PendingCall } from './deadlines.ts'
import { defaultCodec } from './default-codec.ts'
import { parseDuration, parseTtl, type Ttl } from './duration.ts'
import { CORRUPT, EncodedEntries, type EntryStore, type Found, isThenable, LiveEntries } from './entry-store.ts'
import { CacheError, type CacheErrorCode, describeArgument, invalidArgument, isCacheError, typeOf } from './errors.ts'
import { Load, type Loaded, Loads } from './loads.ts'
import { NoBackend } from './no-backend.ts'
import { assertKey, childPrefix, rootPrefix } from './physical-id.ts'
import { wrap } from './wrap.ts'

type StoreFailurePolicy = 'load' | 'load-or-miss' | 'reject'

/** What a cache shares with its namespaces. */
interface Shared {
  readonly loads: Loads
  readonly codec: Codec | undefined
  readonly onStoreFailure: StoreFailurePolicy
  readonly storeTimeout: number
  /** The deadlines of `getOrSet`'s patience with the store. */
  readonly patience: Deadlines
}

/** What `onStoreFailure` is about. Other codes tell of a mistake of the caller. */
const STORE_FAILURES: ReadonlySet<CacheErrorCode> = new Set([
  'CACHE_UNAVAILABLE',
  'CACHE_TIMEOUT',
  'CACHE_BACKEND_FAILED',
  'CACHE_BATCH_FAILED',
  'CACHE_VALUE_TOO_LARGE',
])

/** The cache that users call: on the root namespace of its backend, or a view of another one. */
export class CacheView<V> implements Cache<V> {
  readonly backend: CacheBackend | undefined
  readonly #store: CacheBackend
  readonly #entries: EntryStore
  /** The same as `#entries` where values live in this process: a hit there needs no `await`. */
  readonly #live: LiveEntries | undefined
  readonly #defaults: CacheDefaults<V>
  readonly #shared: Shared
  /** Names this namespace among the loads under way, and is a prefix of what names those made from it. */
  readonly #path: string
  readonly #parent: CacheView<never> | undefined
  #closing: Promise<void> | undefined

  static create<T>(options: CacheOptions<T>): CacheView<T> {
    if (typeof options !== 'object' || options === null || !('backend' in options)) {
      throw invalidArgument('createCache needs { backend }; { backend: undefined } makes a cache that stores nothing.')
    }
    const { backend, codec, storeTimeout = 500, onStoreFailure = 'load', ...defaults } = options
    if (backend !== undefined && typeof backend?.getMany !== 'function') {
      throw invalidArgument(`backend must be a CacheBackend such as new InMemoryBackend(), not ${typeOf(backend)}.`)
    }
    if (codec !== undefined && (typeof codec?.encode !== 'function' || typeof codec.decode !== 'function')) {
      throw invalidArgument(`codec must be { id, encode, decode }, not ${typeOf(codec)}.`)
    }
    if (!['load', 'load-or-miss', 'reject'].includes(onStoreFailure)) {
      throw invalidArgument(
        `onStoreFailure must be 'load', 'load-or-miss' or 'reject', not ${describeArgument(onStoreFailure)}.`,
      )
    }
    const patience = parseDuration('storeTimeout', storeTimeout)
    const shared: Shared = {
      loads: new Loads(),
      codec,
      onStoreFailure,
      storeTimeout: patience,
      patience: new Deadlines(patience),
    }
    return new CacheView<T>(backend, defaults, shared, rootPrefix('cache'), undefined)
  }

  private constructor(
    backend: CacheBackend | undefined,
    defaults: CacheDefaults<V>,
    shared: Shared,
    path: string,
    parent: CacheView<never> | undefined,
  ) {
    checkDefaults(defaults)
    this.backend = backend
    this.#store = backend ?? new NoBackend()
    this.#defaults = defaults
    this.#shared = shared
    this.#path = path
    this.#parent = parent
    // Only the default codec knows how to clone; another one may also encrypt what must not lie in memory as it is.
    if (this.#store.live !== undefined && shared.codec === undefined) {
      this.#live = new LiveEntries(this.#store.live, this.#store)
    }
    this.#entries = this.#live ?? new EncodedEntries(this.#store, shared.codec ?? defaultCodec)
  }

  get<T extends V = V>(key: string): Promise<T | undefined> {
    return (this.#hit(key) ?? this.#get(key)) as Promise<T | undefined>
  }

  async #get(key: string): Promise<unknown> {
    const stored = this.#key(key)
    return valueIn(await this.#orMiss<Found>(() => this.#entries.get(stored), nothing))
  }

  async getEntry<T extends V = V>(key: string): Promise<CacheEntry<T> | undefined> {
    const stored = this.#key(key)
    const entry = await this.#orMiss(() => this.#entries.getWithTtl(stored), nothing)
    return entry as CacheEntry<T> | undefined
  }

  async getMany<T extends V = V>(keys: readonly string[]): Promise<(T | undefined)[]> {
    const stored = this.#keys(keys)
    const misses = (): Found[] => stored.map(() => undefined)
    const found = await this.#orMiss<readonly Found[]>(() => this.#entries.getMany(stored), misses)
    return found.map(valueIn) as (T | undefined)[]
  }

  async has(key: string): Promise<boolean> {
    const stored = this.#key(key)
    return isValue(await this.#orMiss<Found>(() => this.#entries.get(stored), nothing))
  }

  async set(key: string, value: V, options?: SetOptions): Promise<void> {
    const stored = this.#key(key)
    const ttl = this.#lifetime(value, checkOptions(options))
    const prepared = await this.#entries.prepare(stored, value)
    await this.#shared.loads.invalidate(this.#path, [key])
    await prepared.set(ttl)
  }

  async setMany(
    entries: Iterable<readonly [key: string, value: V, options?: SetOptions]>,
    options?: SetOptions,
  ): Promise<void> {
    if (typeof entries !== 'object' || entries === null || !(Symbol.iterator in entries)) {
      throw invalidArgument(`entries must be an array or another iterable, not ${typeOf(entries)}.`)
    }
    const keys: string[] = []
    const prepared = Array.from(entries, entry => {
      if (!Array.isArray(entry)) throw invalidArgument(`An entry must be [key, value, options?], not ${typeOf(entry)}.`)
      const [key, value, own] = entry as readonly [string, V, SetOptions?]
      const stored = this.#key(key)
      keys.push(key)
      return [stored, value, this.#lifetime(value, checkOptions(own ?? options))] as const
    })
    await this.#shared.loads.invalidate(this.#path, keys)
    await this.#entries.setMany(prepared)
  }

  async add(key: string, value: V, options?: SetOptions): Promise<boolean> {
    const stored = this.#key(key)
    const ttl = this.#lifetime(value, checkOptions(options))
    const prepared = await this.#entries.prepare(stored, value)
    await this.#shared.loads.invalidate(this.#path, [key])
    return prepared.add(ttl)
  }

  async increment(key: string, by = 1, options?: { readonly ttl?: Ttl | undefined }): Promise<number> {
    const stored = this.#key(key)
    const ttl = this.#lifetime(by as V, checkOptions(options))
    await this.#shared.loads.invalidate(this.#path, [key])
    return this.#store.increment(stored, by, { ttl })
  }

  async touch(key: string, options?: { readonly ttl?: Ttl | undefined }): Promise<boolean> {
    const stored = this.#key(key)
    checkOptions(options)
    if (options?.ttl !== undefined || typeof this.#defaults.ttl !== 'function') {
      return this.#entries.touch(stored, this.#lifetime(undefined as V, options))
    }
    const found = await this.#entries.get(stored)
    return isValue(found) && this.#entries.touch(stored, this.#lifetime(found.value as V, options))
  }

  async delete(key: string): Promise<boolean> {
    const stored = this.#key(key)
    await this.#shared.loads.invalidate(this.#path, [key])
    return this.#store.delete(stored)
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    const stored = this.#keys(keys)
    await this.#shared.loads.invalidate(this.#path, keys)
    await this.#store.deleteMany(stored)
  }

  async clear(): Promise<void> {
    this.#assertOpen()
    await this.#shared.loads.invalidateAll(this.#path)
    await this.#store.clear()
  }

  async *keys(): AsyncGenerator<string> {
    this.#assertOpen()
    for await (const stored of this.#store.keys()) {
      const key = fromStoreKey(stored)
      if (key !== undefined) yield key
    }
  }

  getOrSet<T extends V>(key: string, loader: Loader<T>, options?: LoadOptions<NoInfer<T>>): Promise<T> {
    const hit = options?.refresh || options?.signal?.aborted ? undefined : this.#hit(key)
    return (hit ?? this.#getOrSet(key, loader, (options ?? {}) as LoadOptions<V>)) as Promise<T>
  }

  async #getOrSet(key: string, loader: Loader<V>, options: LoadOptions<V>): Promise<unknown> {
    const stored = this.#key(key)
    checkOptions(options)
    checkDefaults(options)
    if (typeof loader !== 'function') throw invalidArgument(`loader must be a function, not ${typeOf(loader)}.`)
    const { signal, refresh = false } = options
    signal?.throwIfAborted()
    if (this.backend === undefined) return loader({ key, signal: signal ?? new AbortController().signal })
    const { loads } = this.#shared
    const path = this.#path
    let write: 'add' | 'set' | undefined = refresh ? 'set' : 'add'
    for (let again = !refresh; again; ) {
      const underWay = loads.find(path, key)
      if (underWay !== undefined) return underWay.wait(signal)
      const reading = loads.beginReading(path, key)
      try {
        const found = await this.#patiently(this.#entries.get(stored), signal)
        if (isValue(found)) return found.value
        if (found === CORRUPT) write = 'set'
        again = reading.overtaken
      } catch (error) {
        if (!this.#goesOn(error)) throw error
        write = undefined
        again = false
      } finally {
        loads.endReading(path, key, reading)
      }
    }
    return (loads.find(path, key) ?? this.#load(key, stored, loader, options, write)).wait(signal)
  }

  /** Starts a load of `key`. `write`: how its value is stored; `undefined`: not at all, as the store does not answer. */
  #load(
    key: string,
    stored: string,
    loader: Loader<V>,
    options: LoadOptions<V>,
    write: 'add' | 'set' | undefined,
  ): Load {
    const { loads } = this.#shared
    const load = new Load()
    loads.begin(this.#path, key, load)
    const finish = async (value: unknown): Promise<Loaded> => {
      const { shouldCache = this.#defaults.shouldCache } = options
      if (shouldCache?.(value as V) === false) return { value, copy: () => value }
      const ttl = this.#lifetime(value as V, options)
      const prepared = await this.#entries.prepare(stored, value)
      await load.storing
      if (write !== undefined && load.attached) {
        try {
          const writing = prepared[write](ttl)
          load.storing = Promise.resolve(writing).catch(() => {})
          await this.#patiently(writing, undefined)
        } catch (error) {
          if (!this.#goesOn(error) && !isCacheError(error, 'CACHE_CLOSED')) throw error
        }
      }
      return { value, copy: prepared.copy }
    }
    const end = async (): Promise<void> => {
      await load.storing
      loads.end(this.#path, key, load)
    }
    load.run(key, loader, finish).then(end, end)
    return load
  }

  wrap<A extends readonly unknown[], T extends V>(
    fn: (...args: A) => Awaitable<T>,
    options: WrapOptions<A, NoInfer<T>>,
  ): Wrapped<A, T> {
    return wrap(this, fn, options)
  }

  namespace<T extends V = V>(name: string, defaults: CacheDefaults<T> = {}): Cache<T> {
    const path = childPrefix(this.#path, name)
    const merged: CacheDefaults<T> = { ...(this.#defaults as CacheDefaults<T>) }
    for (const [option, value] of Object.entries(defaults)) {
      if (value !== undefined) Object.assign(merged, { [option]: value })
    }
    return new CacheView<T>(this.backend?.namespace(name), merged, this.#shared, path, this as CacheView<never>)
  }

  async open(): Promise<void> {
    this.#assertOpen()
    await this.#store.open()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#shared.loads.invalidateAll(this.#path)
    await this.#store.close()
    if (this.#parent === undefined) this.#shared.patience.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The live value under `key`. Anything out of the ordinary is left to the path that can reject. */
  #hit(key: string): Promise<unknown> | undefined {
    try {
      return this.#live?.hit(toStoreKey(key))
    } catch {
      return undefined
    }
  }

  #assertOpen(): void {
    for (let view: CacheView<never> | undefined = this as CacheView<never>; view !== undefined; view = view.#parent) {
      if (view.#closing !== undefined) {
        throw new CacheError({
          code: 'CACHE_CLOSED',
          message: `This cache${view.#parent === undefined ? '' : ' namespace'} was closed.`,
        })
      }
    }
  }

  #key(key: unknown): string {
    this.#assertOpen()
    assertKey(key)
    return toStoreKey(key)
  }

  #keys(keys: unknown): string[] {
    this.#assertOpen()
    if (!Array.isArray(keys)) throw invalidArgument(`keys must be an array, not ${typeOf(keys)}.`)
    return keys.map(key => this.#key(key))
  }

  /** Milliseconds that `value` is to live; `undefined`: for ever. */
  #lifetime(value: V, options: CacheDefaults<V> | undefined): number | undefined {
    const { ttl = this.#defaults.ttl ?? 'forever' } = options ?? {}
    const milliseconds = parseTtl(typeof ttl === 'function' ? ttl(value) : ttl)
    const jitter = options?.jitter ?? this.#defaults.jitter ?? 0
    return milliseconds === undefined || jitter === 0
      ? milliseconds
      : Math.max(1, milliseconds * (1 - jitter * Math.random()))
  }

  /** A direct read: what the store's failure is to its caller. */
  async #orMiss<T>(read: () => Awaitable<T>, miss: () => T): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (this.#shared.onStoreFailure === 'load-or-miss' && isStoreFailure(error)) return miss()
      throw error
    }
  }

  /** Whether `getOrSet` goes on without the store after this error. */
  #goesOn(error: unknown): boolean {
    return this.#shared.onStoreFailure !== 'reject' && isStoreFailure(error)
  }

  /** The store's answer, as long as `getOrSet` has patience with it and its caller waits. */
  #patiently<T>(answer: Awaitable<T>, signal: AbortSignal | undefined): Awaitable<T> {
    if (!isThenable(answer)) return answer
    const { patience, storeTimeout } = this.#shared
    return new Promise<T>((resolve, reject) => {
      const call = new PendingCall(this, () => {
        patience.remove(call)
        const message = `No answer from ${this.#store.name} within the storeTimeout of ${storeTimeout} ms.`
        reject(new CacheError({ code: 'CACHE_TIMEOUT', message, backend: this.#store.name }))
      })
      const leave = (): void => reject(signal?.reason)
      const done = (): void => {
        patience.remove(call)
        signal?.removeEventListener('abort', leave)
      }
      patience.add(call)
      signal?.addEventListener('abort', leave, { once: true })
      answer.then(resolve, reject).then(done)
    })
  }
}

/** Internal keys start with `~`, so a user's key that does gets one more. */
function toStoreKey(key: string): string {
  return key.charCodeAt(0) === 126 /* ~ */ ? `~${key}` : key
}

function fromStoreKey(stored: string): string | undefined {
  if (!stored.startsWith('~')) return stored
  return stored.startsWith('~~') ? stored.slice(1) : undefined
}

function nothing(): undefined {}

function isValue(found: Found): found is { readonly value: unknown } {
  return found !== undefined && found !== CORRUPT
}

function valueIn(found: Found): unknown {
  return isValue(found) ? found.value : undefined
}

function isStoreFailure(error: unknown): boolean {
  return isCacheError(error) && STORE_FAILURES.has(error.code)
}

function checkOptions<T extends object>(options: T | undefined): T | undefined {
  if (options !== undefined && (typeof options !== 'object' || options === null)) {
    throw invalidArgument(`options must be an object such as { ttl: '5m' }, not ${describeArgument(options)}.`)
  }
  return options
}

function checkDefaults(defaults: CacheDefaults<never>): void {
  const { ttl, jitter, shouldCache } = defaults
  if (ttl !== undefined && typeof ttl !== 'function') parseTtl(ttl)
  if (jitter !== undefined && !(typeof jitter === 'number' && jitter >= 0 && jitter <= 1)) {
    throw invalidArgument(`jitter must be a number from 0 to 1, not ${describeArgument(jitter)}.`)
  }
  if (shouldCache !== undefined && typeof shouldCache !== 'function') {
    throw invalidArgument(`shouldCache must be a function, not ${typeOf(shouldCache)}.`)
  }
}
