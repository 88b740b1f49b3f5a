import type { CacheBackend, LiveStore } from './backend.ts'
import type {
  Awaitable,
  BulkLoader,
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
import {
  breakerOf,
  checkDefaults,
  checkTags,
  leaseOf,
  lifeOf,
  merge,
  staleTimesOf,
  timeoutsOf,
  validate,
} from './cache-options.ts'
import type { Codec } from './codec.ts'
import { checkSum } from './counter.ts'
import { defaultCodec } from './default-codec.ts'
import { parseDuration, type Ttl } from './duration.ts'
import { assertArgument, CacheError, type CacheErrorCode, invalidArgument, isCacheError, typeOf } from './errors.ts'
import { type CacheEvents, type CacheStats, Events } from './events.ts'
import { Invalidations } from './invalidations.ts'
import { loadMany } from './load-many.ts'
import { Loads } from './loads.ts'
import { LocalTier, type Target } from './local-tier.ts'
import { noBackend, type Store } from './no-backend.ts'
import { assertKey, childPrefix, rootPrefix } from './physical-id.ts'
import { type Loaded, NOTHING, Protocol } from './protocol.ts'
import { NO_TAGS } from './record.ts'
import {
  EncodedRecords,
  isThenable,
  keepIn,
  LiveRecords,
  type Prepared,
  type RecordStore,
  type Stored,
} from './record-store.ts'
import { StoreGuard } from './store-guard.ts'
import { keysOfTokens, type Life, type Look, lengthOf, TaggedRecords, type Written } from './tagged-records.ts'
import { wrap } from './wrap.ts'

type LocalBackend = CacheBackend & { readonly live: LiveStore }

/** What a cache shares with its namespaces. */
interface Shared {
  readonly loads: Loads
  readonly guard: StoreGuard
  readonly events: Events
  readonly codec: Codec | undefined
  readonly onStoreFailure: 'load' | 'load-or-miss' | 'reject'
  readonly lease: CacheOptions<never>['lease']
  readonly localTtl: number
  readonly invalidations: Invalidations
}

/** Where a namespace is: its stores, and its names. */
interface Place {
  readonly backend: CacheBackend | undefined
  readonly local: LocalBackend | undefined
  /** In events. */
  readonly name: string
  /** Among the loads under way, and on the bus; a prefix of what names those made from it. */
  readonly path: string
  readonly parent: CacheView<never> | undefined
}

/** What `onStoreFailure` is about. Other codes tell of a mistake of the caller. */
const STORE_FAILURES: ReadonlySet<CacheErrorCode> = new Set([
  'CACHE_UNAVAILABLE',
  'CACHE_TIMEOUT',
  'CACHE_BACKEND_FAILED',
  'CACHE_BATCH_FAILED',
  'CACHE_VALUE_TOO_LARGE',
])

/** How many records `keys` looks at together. */
const KEYS_PAGE = 100
/** What `add` and `increment` hope for. */
const ABSENT: Look = { state: 'absent', record: undefined, tokens: NO_TAGS, born: 0 }

type Found = { readonly value: unknown } | undefined
/** A value to be stored, checked. */
type Entry = readonly [stored: string, value: unknown, life: Life, tags: readonly string[]]

/** The cache that users call: on the root namespace of its backend, or a view of another one. */
export class CacheView<V> implements Cache<V> {
  readonly backend: CacheBackend | undefined
  readonly #place: Place
  readonly #store: Store
  readonly #records: RecordStore
  /** The same as `#records` where values live in this process. */
  readonly #live: LiveRecords | undefined
  readonly #local: LocalTier | undefined
  readonly #tagged: TaggedRecords
  readonly #protocol: Protocol
  readonly #defaults: CacheDefaults<V>
  readonly #shared: Shared
  #closing: Promise<void> | undefined

  static create<T>(options: CacheOptions<T>): CacheView<T> {
    if (typeof options !== 'object' || options === null || !('backend' in options)) {
      throw invalidArgument('createCache needs { backend }; with undefined it stores nothing.')
    }
    const { backend, local, localTtl = 5000, bus, codec, lease, breaker, storeTimeout = 500, ...rest } = options
    const { onStoreFailure = 'load', ...defaults } = rest
    assertArgument(
      backend === undefined || typeof backend?.getMany === 'function',
      'backend must be a CacheBackend such as new InMemoryBackend()',
      backend,
      typeOf,
    )
    assertArgument(
      local === undefined || typeof local?.live?.get === 'function',
      'local must be a backend in this process such as new InMemoryBackend()',
      local,
      typeOf,
    )
    assertArgument(
      bus === undefined || (local !== undefined && typeof bus?.subscribe === 'function'),
      'bus must be a CacheBus such as new RedisBus(), beside { local }',
      bus,
      typeOf,
    )
    assertArgument(
      codec === undefined || (typeof codec?.encode === 'function' && typeof codec.decode === 'function'),
      'codec must be { id, encode, decode }',
      codec,
      typeOf,
    )
    assertArgument(
      ['load', 'load-or-miss', 'reject'].includes(onStoreFailure),
      "onStoreFailure must be 'load', 'load-or-miss' or 'reject'",
      onStoreFailure,
    )
    const store = backend ?? noBackend
    const patience = Math.min(parseDuration('storeTimeout', storeTimeout), 0x7fffffff)
    const events = new Events()
    const shared: Shared = {
      loads: new Loads(),
      guard: new StoreGuard(store.name, patience, breakerOf(breaker), () => store.get('~p')),
      events,
      codec,
      onStoreFailure,
      lease,
      localTtl: parseDuration('localTtl', localTtl),
      invalidations: new Invalidations(bus, error => events.emit('failure', { error, namespace: '' })),
    }
    const place = { backend, local, name: '', path: rootPrefix('cache'), parent: undefined }
    return new CacheView<T>(place, defaults, shared)
  }

  private constructor(place: Place, defaults: CacheDefaults<V>, shared: Shared) {
    const { backend, local, path, name } = place
    const { codec, loads, guard, events, lease, invalidations, localTtl } = shared
    this.backend = backend
    this.#place = place
    this.#store = backend ?? noBackend
    this.#defaults = checkDefaults(defaults)
    this.#shared = shared
    // Only the default codec knows how to clone; another one may also encrypt what must not lie in memory as it is.
    if (this.#store.live !== undefined && codec === undefined) this.#live = new LiveRecords(this.#store.live)
    this.#records = this.#live ?? new EncodedRecords(this.#store, codec ?? defaultCodec)
    if (local !== undefined) {
      const keep = codec === undefined ? keepIn(local.live) : (record: Stored) => record as never
      this.#local = new LocalTier(local.live, path, localTtl, invalidations, keep)
    }
    this.#tagged = new TaggedRecords(this.#records, loads, this.#local)
    this.#protocol = new Protocol({
      records: this.#records,
      tagged: this.#tagged,
      local: this.#local,
      loads,
      guard,
      events,
      lease: leaseOf(lease, this.#store.supports.shared),
      namespace: name,
      path,
      goesOn: error => this.#goesOn(error),
    })
  }

  get<T extends V = V>(key: string): Promise<T | undefined> {
    return (this.#hit(key, this.#defaults) ?? this.#get(key)) as Promise<T | undefined>
  }

  async #get(key: string): Promise<unknown> {
    const [found] = await this.#find([key])
    return found?.value
  }

  async getMany<T extends V = V>(keys: readonly string[]): Promise<(T | undefined)[]> {
    const found = await this.#find(keys)
    return found.map(each => each?.value) as (T | undefined)[]
  }

  async has(key: string): Promise<boolean> {
    const [found] = await this.#find([key])
    return found !== undefined
  }

  /** The fresh values under `keys`, each in an object of its own. */
  async #find(keys: readonly string[]): Promise<readonly Found[]> {
    const stored = this.#keys(keys)
    if (stored.length === 0) return []
    const looks = await this.#orMiss(() => this.#tagged.glance(stored))
    const opened = keys.map((_, index) => this.#fresh(looks?.[index]))
    const found = opened.some(isThenable) ? await Promise.all(opened) : (opened as Found[])
    for (let index = 0; index < keys.length; index++) this.#count(keys[index] as string, found[index] !== undefined)
    return found
  }

  async getEntry<T extends V = V>(key: string): Promise<CacheEntry<T> | undefined> {
    const stored = this.#key(key)
    const entry = await this.#orMiss(async () => {
      const { record, state } = await this.#look(stored)
      if (record === undefined || (state !== 'fresh' && state !== 'stale')) return undefined
      const found = await this.#open(record, this.#defaults)
      const stale = state === 'stale'
      const ttl = stale ? 0 : await this.#ttl(stored, record)
      return found && { value: found.value as T, ttl, stale, tags: [...record.tags.keys()] }
    })
    this.#count(key, entry !== undefined)
    return entry
  }

  /** How many milliseconds a fresh entry has left. */
  async #ttl(stored: string, { freshUntil, expiresAt, kind }: Stored): Promise<number | undefined> {
    const ends = freshUntil ?? (this.#live === undefined ? undefined : expiresAt)
    if (ends !== undefined) return Math.max(1, ends - this.#records.now())
    // By the clock of the store, which is the one that decides.
    return kind === 'integer' || expiresAt !== undefined ? (await this.#store.getEntry(stored))?.ttl : undefined
  }

  async set(key: string, value: V, options?: SetOptions): Promise<void> {
    const entry = this.#entry(key, value, options)
    const [stored, , life, tags] = entry
    const prepared = await this.#prepare(entry)
    await this.#invalidate({ keys: [stored] }, async () => {
      const tokens = await this.#tagged.tokens(tags, lengthOf(life))
      await this.#records.set(stored, ...this.#tagged.entry(prepared, tags, tokens, life))
    })
    this.#emit('set', { key })
  }

  async setMany(
    entries: Iterable<readonly [key: string, value: V, options?: SetOptions | undefined]>,
    options?: SetOptions,
  ): Promise<void> {
    assertArgument(
      typeof entries === 'object' && entries !== null && Symbol.iterator in entries,
      'entries must be an array or another iterable',
      entries,
      typeOf,
    )
    const keys: string[] = []
    const checked = Array.from(entries, entry => {
      assertArgument(Array.isArray(entry), 'An entry must be [key, value, options?]', entry, typeOf)
      const [key, value, own = options] = entry as readonly [string, V, SetOptions?]
      keys.push(key)
      return this.#entry(key, value, own)
    })
    const prepared = await Promise.all(checked.map(entry => this.#prepare(entry)))
    await this.#invalidate({ keys: checked.map(([stored]) => stored) }, async () => {
      // One batch for the tokens of all entries, which live as long as the longest.
      const longest = checked.reduce((longest, [, , life]) => Math.max(longest, lengthOf(life)), 0)
      const tokens = await this.#tagged.tokens([...new Set(checked.flatMap(([, , , tags]) => tags))], longest)
      await this.#records.setMany(
        checked.map(([stored, , life, tags], index) => {
          return [stored, ...this.#tagged.entry(prepared[index] as never, tags, tokens, life)] as const
        }),
      )
    })
    for (const key of keys) this.#emit('set', { key })
  }

  async add(key: string, value: V, options?: SetOptions): Promise<boolean> {
    const entry = this.#entry(key, value, options)
    const [stored, , life, tags] = entry
    const prepared = await this.#prepare(entry)
    const added = await this.#ask(() =>
      this.#update(stored, ABSENT, async look => {
        if (await this.#fresh(look)) return undefined
        return this.#tagged.entry(prepared, tags, await this.#tagged.tokens(tags, lengthOf(life)), life)
      }),
    )
    if (!added) return false
    await this.#shared.loads.invalidate(this.#place.path, { keys: [stored] })
    this.#emit('set', { key })
    return true
  }

  async increment(key: string, by = 1, options?: { readonly ttl?: Ttl | undefined }): Promise<number> {
    const stored = this.#key(key)
    assertArgument(Number.isSafeInteger(by), 'by must be a safe integer', by)
    const { ttl } = this.#life(by as V, options)
    const sum = await this.#invalidate({ keys: [stored] }, async () => {
      for (;;) {
        try {
          return await this.#store.increment(stored, by, { ttl })
        } catch (error) {
          if (!isCacheError(error, 'CACHE_NOT_A_COUNTER')) throw error
          const sum = await this.#incrementRecord(stored, by, error)
          if (sum !== undefined) return sum
        }
      }
    })
    this.#emit('set', { key })
    return sum
  }

  /**
   * For what the store cannot count: an integer with tags or a stale time. What is there but counts as absent is removed;
   * `undefined`: then the store can. Throws `notACounter` for anything else.
   */
  async #incrementRecord(stored: string, by: number, notACounter: unknown): Promise<number | undefined> {
    let sum = 0
    const updated = await this.#update(stored, undefined, async ({ record, state, tokens }) => {
      if (record === undefined) return undefined
      if (record.kind === 'corrupt') throw notACounter
      if (state !== 'fresh') {
        await this.#records.remove(stored, record)
        return undefined
      }
      const value = await record.read()
      if (!Number.isSafeInteger(value)) throw notACounter
      sum = checkSum((value as number) + by)
      const { expiresAt, freshUntil = expiresAt } = record
      const ttl = freshUntil && Math.max(1, freshUntil - this.#records.now())
      const life = { ttl, stale: freshUntil && expiresAt ? expiresAt - freshUntil : 0 }
      return this.#tagged.entry(await this.#records.prepare(stored, sum), record.tags.keys(), tokens, life)
    })
    return updated ? sum : undefined
  }

  async touch(key: string, options?: { readonly ttl?: Ttl | undefined }): Promise<boolean> {
    const stored = this.#key(key)
    checkDefaults(options)
    let counter = false
    return this.#change({ keys: [stored] }, async () => {
      let life: Life | undefined
      const touched = await this.#update(stored, undefined, async look => {
        const found = await this.#fresh(look)
        const { record, tokens } = look
        if (record === undefined || found === undefined) return undefined
        life = this.#life(found.value as V, options)
        // A counter may change all the time, and nothing that it could be instead must not be touched.
        counter = record.kind === 'integer'
        if (counter) return undefined
        const tags = [...record.tags.keys()]
        return this.#tagged.entry(record.prepared, tags, await this.#tagged.tokens(tags, lengthOf(life), tokens), life)
      })
      return counter ? this.#store.touch(stored, { ttl: life?.ttl }) : touched
    })
  }

  /** Writes what `next` makes of the record, until nobody was faster; `undefined`: nothing is to be written. */
  async #update(
    stored: string,
    first: Look | undefined,
    next: (look: Look) => Promise<Written | undefined>,
  ): Promise<boolean> {
    for (let look = first ?? (await this.#look(stored)); ; look = await this.#look(stored)) {
      const written = await next(look)
      if (written === undefined) return false
      if (await this.#records.swap(stored, look.record, ...written)) return true
    }
  }

  async delete(key: string): Promise<boolean> {
    const stored = this.#key(key)
    const deleted = await this.#invalidate({ keys: [stored] }, () => this.#store.delete(stored))
    this.#emit('delete', { key })
    return deleted
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    const stored = this.#keys(keys)
    await this.#invalidate({ keys: stored }, () => this.#store.deleteMany(stored))
    for (const key of keys) this.#emit('delete', { key })
  }

  async deleteByTag(...tags: string[]): Promise<void> {
    this.#assertOpen()
    const checked = checkTags(tags)
    await this.#invalidate({ tags: checked }, () => this.#store.deleteMany(keysOfTokens(checked)))
    this.#emit('deleteByTag', { tags: checked })
  }

  async clear(): Promise<void> {
    this.#assertOpen()
    await this.#invalidate({}, () => this.#store.clear())
    this.#emit('clear', {})
  }

  async *keys(): AsyncGenerator<string> {
    this.#assertOpen()
    let page: string[] = []
    for await (const stored of this.#store.keys()) {
      if (fromStoreKey(stored) !== undefined) page.push(stored)
      if (page.length < KEYS_PAGE) continue
      yield* await this.#freshKeys(page)
      page = []
    }
    if (page.length > 0) yield* await this.#freshKeys(page)
  }

  async #freshKeys(stored: readonly string[]): Promise<string[]> {
    const looks = await this.#tagged.look(stored)
    return stored.filter((_, index) => looks[index]?.state === 'fresh').map(key => fromStoreKey(key) as string)
  }

  getOrSet<T extends V>(key: string, loader: Loader<T>, options?: LoadOptions<NoInfer<T>>): Promise<T> {
    const hit = options?.refresh || options?.signal?.aborted ? undefined : this.#hit(key, options ?? this.#defaults)
    return (hit ?? this.#getOrSet(key, loader, options as LoadOptions<V> | undefined)) as Promise<T>
  }

  async #getOrSet(
    key: string,
    loader: Loader<unknown>,
    options: LoadOptions<V> | undefined,
    together?: { readonly first: Look | undefined; onWait(): void },
  ): Promise<unknown> {
    const stored = this.#key(key)
    assertArgument(typeof loader === 'function', 'loader must be a function', loader, typeOf)
    const merged = this.#merge(options)
    const { signal, refresh = false, tags, shouldCache, schema, ttl } = merged
    signal?.throwIfAborted()
    const { soft, hard } = timeoutsOf(merged.loaderTimeout)
    if (this.backend === undefined) return loader({ key, signal: signal ?? new AbortController().signal })
    const [staleWhileRevalidate, staleIfError] = staleTimesOf(merged)
    const life = typeof ttl === 'function' ? { ttl: 0, stale: 0 } : lifeOf(merged, undefined as V)
    return this.#protocol.getOrSet({
      key,
      stored,
      loader,
      tags: checkTags(tags),
      life,
      refresh,
      signal,
      staleWhileRevalidate,
      staleIfError,
      softTimeout: soft,
      hardTimeout: hard,
      open: record => this.#open(record, merged),
      prepare: async (loaded): Promise<Loaded> => {
        if (loaded === NOTHING) return { value: loaded, life }
        const value = await validate(schema, loaded as V)
        if (shouldCache?.(value) === false) return { value, life }
        return { value, prepared: await this.#records.prepare(stored, value), life: lifeOf(merged, value) }
      },
      ...together,
    })
  }

  async getOrSetMany<T extends V>(
    keys: readonly string[],
    loader: BulkLoader<T>,
    options?: LoadOptions<NoInfer<T>>,
  ): Promise<(T | undefined)[]> {
    this.#keys(keys)
    assertArgument(typeof loader === 'function', 'loader must be a function', loader, typeOf)
    const merged = this.#merge(options) as LoadOptions<V>
    const unique = [...new Set(keys)]
    const looks = await this.#lookMany(unique.map(toStoreKey), merged)
    const values = await loadMany(unique, loader, (key, index, one, onWait) =>
      this.#getOrSet(key, one, merged, { first: looks[index], onWait }),
    )
    return keys.map(key => values.get(key)) as (T | undefined)[]
  }

  /** Nothing where the store fails: then each key finds out for itself what that means. */
  async #lookMany(stored: readonly string[], { tags, signal, refresh }: LoadOptions<V>): Promise<readonly Look[]> {
    if (stored.length === 0 || this.backend === undefined) return []
    const checked = checkTags(tags)
    const read = () => this.#tagged[refresh ? 'look' : 'glance'](stored, checked)
    try {
      return await this.#shared.guard.askPatiently(read, signal)
    } catch (error) {
      if (!this.#goesOn(error)) throw error
      return []
    }
  }

  wrap<A extends readonly unknown[], T extends V>(
    fn: (...args: A) => Awaitable<T>,
    options: WrapOptions<A, NoInfer<T>>,
  ): Wrapped<A, T> {
    return wrap<A, T>(this as unknown as Cache<T>, fn, options as WrapOptions<A, T>)
  }

  namespace<T extends V = V>(name: string, defaults: CacheDefaults<T> = {}): Cache<T> {
    const { backend, local, path, name: own } = this.#place
    const place: Place = {
      path: childPrefix(path, name),
      backend: backend?.namespace(name),
      local: local?.namespace(name) as LocalBackend | undefined,
      name: own === '' ? name : `${own}:${name}`,
      parent: this as CacheView<never>,
    }
    return new CacheView<T>(place, merge(this.#defaults as CacheDefaults<T>, checkDefaults(defaults)), this.#shared)
  }

  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void {
    return this.#shared.events.on(event, this.#place.name, listener)
  }

  stats(): CacheStats {
    return { ...this.#shared.events.stats }
  }

  async open(): Promise<void> {
    this.#assertOpen()
    await Promise.all([this.#store.open(), this.#shared.invalidations.open()])
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { local, parent, path } = this.#place
    const { loads, invalidations } = this.#shared
    await loads.invalidate(path, {})
    // Each, whatever becomes of the others.
    const closed = await Promise.allSettled([
      this.#store.close(),
      local?.close(),
      parent === undefined ? invalidations.close() : undefined,
    ])
    for (const each of closed) if (each.status === 'rejected') throw each.reason
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The value under `key`, where it lies in this process. Anything out of the ordinary is left to the path that can reject. */
  #hit(key: string, { schema }: { readonly schema?: unknown }): Promise<unknown> | undefined {
    if (schema !== undefined) return undefined
    try {
      const hit = this.#live === undefined ? this.#local?.hit(toStoreKey(key)) : this.#live.hit(key)
      if (hit !== undefined) this.#shared.events.hit(this.#place.name, key)
      return hit
    } catch {
      return undefined
    }
  }

  /** The value of a record, if it can be decoded and fits the schema. At once where it can: a batch has many. */
  #open(record: Stored, { schema }: CacheDefaults<V>): Awaitable<Found> {
    try {
      const value = record.read()
      return schema === undefined && !isThenable(value) ? { value } : this.#openSlowly(value, schema)
    } catch (error) {
      return unusable(error)
    }
  }

  async #openSlowly(value: unknown, schema: CacheDefaults<V>['schema']): Promise<Found> {
    try {
      return { value: await validate(schema, (await value) as V) }
    } catch (error) {
      return unusable(error)
    }
  }

  #fresh(look: Look | undefined): Awaitable<Found> {
    return look?.state === 'fresh' ? this.#open(look.record as Stored, this.#defaults) : undefined
  }

  async #look(stored: string): Promise<Look> {
    const [look] = await this.#tagged.look([stored])
    return look as Look
  }

  #assertOpen(): void {
    for (let view: CacheView<never> | undefined = this as CacheView<never>; view; view = view.#place.parent) {
      if (view.#closing !== undefined) {
        throw new CacheError({ code: 'CACHE_CLOSED', message: 'This cache was closed.' })
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
    assertArgument(Array.isArray(keys), 'keys must be an array', keys, typeOf)
    return keys.map(key => this.#key(key))
  }

  #merge<T extends object>(options: T | undefined): CacheDefaults<V> & T {
    return merge(this.#defaults as CacheDefaults<V> & T, checkDefaults(options))
  }

  #life(value: V, options: { readonly ttl?: Ttl | undefined } | undefined): Life {
    return lifeOf(this.#merge(options), value)
  }

  #entry(key: string, value: V, own: SetOptions | undefined): Entry {
    const stored = this.#key(key)
    const options = this.#merge(own)
    return [stored, value, lifeOf(options, value), checkTags(options.tags)]
  }

  async #prepare([stored, value]: Entry): Promise<Prepared> {
    return this.#records.prepare(stored, await validate(this.#defaults.schema, value as V))
  }

  /** Makes values invalid by a write of the store; loads of them that are under way are not stored any more. */
  async #invalidate<T>(target: Target, write: () => Promise<T>): Promise<T> {
    await this.#shared.loads.invalidate(this.#place.path, target)
    return this.#change(target, write)
  }

  /** Writes what local copies are not to outlive. */
  #change<T>(target: Target, write: () => Promise<T>): Promise<T> {
    const ask = (): Promise<T> => this.#ask(write)
    return this.#local === undefined ? ask() : this.#local.invalidate(target, ask)
  }

  /** Asks the store; tells of its failures. */
  async #ask<T>(call: () => Awaitable<T>): Promise<T> {
    try {
      return await this.#shared.guard.ask(call)
    } catch (error) {
      this.#fail(error)
      throw withUserKeys(error)
    }
  }

  /** A direct read: what the store's failure is to its caller. */
  async #orMiss<T>(read: () => Awaitable<T>): Promise<T | undefined> {
    try {
      return await this.#ask(read)
    } catch (error) {
      if (this.#shared.onStoreFailure === 'load-or-miss' && isStoreFailure(error)) return undefined
      throw error
    }
  }

  /** Whether `getOrSet` goes on without the store after this error. */
  #goesOn(error: unknown): boolean {
    this.#fail(error)
    return this.#shared.onStoreFailure !== 'reject' && isStoreFailure(error)
  }

  #fail(error: unknown): void {
    if (isStoreFailure(error)) this.#emit('failure', { error })
  }

  #count(key: string, found: boolean): void {
    if (found) this.#shared.events.hit(this.#place.name, key)
    else this.#emit('miss', { key })
  }

  #emit<N extends keyof CacheEvents>(name: N, event: Omit<CacheEvents[N], 'namespace'>): void {
    this.#shared.events.emit(name, { ...event, namespace: this.#place.name } as CacheEvents[N])
  }
}

/** Internal keys start with `~`, so a user's key that does gets one more. */
function toStoreKey(key: string): string {
  return key.charCodeAt(0) === 126 /* ~ */ ? `~${key}` : key
}

/** What is damaged, or does not fit the schema, is no value. */
function unusable(error: unknown): undefined {
  if (isCacheError(error, 'CACHE_CORRUPT_ENTRY') || isCacheError(error, 'CACHE_INVALID_VALUE')) return undefined
  throw error
}

function fromStoreKey(stored: string): string | undefined {
  if (!stored.startsWith('~')) return stored
  return stored.startsWith('~~') ? stored.slice(1) : undefined
}

/** The error of a batch with the keys as the caller gave them; a token is no key of the caller's. */
function withUserKeys(error: unknown): unknown {
  if (!isCacheError(error) || !error.keys?.some(key => key.startsWith('~'))) return error
  const keys = error.keys.map(fromStoreKey).filter(key => key !== undefined)
  return new CacheError({ ...error, message: error.message, cause: error.cause, keys })
}

function isStoreFailure(error: unknown): boolean {
  return isCacheError(error) && STORE_FAILURES.has(error.code)
}
