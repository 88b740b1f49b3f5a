import type { CacheBackend } from './backend.ts'
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
import { addToCounter } from './counter.ts'
import { defaultCodec } from './default-codec.ts'
import { parseDuration, type Ttl } from './duration.ts'
import { CacheError, type CacheErrorCode, describeArgument, invalidArgument, isCacheError, typeOf } from './errors.ts'
import { type CacheEvents, type CacheStats, Events } from './events.ts'
import { loadMany } from './load-many.ts'
import { Loads } from './loads.ts'
import { NoBackend } from './no-backend.ts'
import { assertKey, childPrefix, rootPrefix } from './physical-id.ts'
import { type Call, type Loaded, NOTHING, Protocol } from './protocol.ts'
import { EncodedRecords, LiveRecords, type RecordStore, type Stored } from './record-store.ts'
import { StoreGuard } from './store-guard.ts'
import { keysOfTokens, type Life, type Look, TaggedRecords } from './tagged-records.ts'
import { wrap } from './wrap.ts'

/** What a cache shares with its namespaces. */
interface Shared {
  readonly loads: Loads
  readonly guard: StoreGuard
  readonly events: Events
  readonly codec: Codec | undefined
  readonly onStoreFailure: 'load' | 'load-or-miss' | 'reject'
  readonly lease: CacheOptions<never>['lease']
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

type Found = { readonly value: unknown } | undefined
type Entry = readonly [stored: string, value: unknown, life: Life, tags: readonly string[]]

/** The cache that users call: on the root namespace of its backend, or a view of another one. */
export class CacheView<V> implements Cache<V> {
  readonly backend: CacheBackend | undefined
  readonly #store: CacheBackend
  readonly #records: RecordStore
  /** The same as `#records` where values live in this process: a hit there needs no `await`. */
  readonly #live: LiveRecords | undefined
  readonly #tagged: TaggedRecords
  readonly #protocol: Protocol
  readonly #defaults: CacheDefaults<V>
  readonly #shared: Shared
  /** Names this namespace in events. */
  readonly #namespace: string
  /** Names this namespace among the loads under way, and is a prefix of what names those made from it. */
  readonly #path: string
  readonly #parent: CacheView<never> | undefined
  #closing: Promise<void> | undefined

  static create<T>(options: CacheOptions<T>): CacheView<T> {
    if (typeof options !== 'object' || options === null || !('backend' in options)) {
      throw invalidArgument('createCache needs { backend }; { backend: undefined } makes a cache that stores nothing.')
    }
    const { backend, codec, lease, breaker, storeTimeout = 500, onStoreFailure = 'load', ...defaults } = options
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
    const store = backend ?? new NoBackend()
    const patience = parseDuration('storeTimeout', storeTimeout)
    const shared: Shared = {
      loads: new Loads(),
      guard: new StoreGuard(store.name, patience, breakerOf(breaker), () => store.get('~p')),
      events: new Events(),
      codec,
      onStoreFailure,
      lease,
    }
    return new CacheView<T>(backend, defaults, shared, '', rootPrefix('cache'), undefined)
  }

  private constructor(
    backend: CacheBackend | undefined,
    defaults: CacheDefaults<V>,
    shared: Shared,
    namespace: string,
    path: string,
    parent: CacheView<never> | undefined,
  ) {
    this.backend = backend
    this.#store = backend ?? new NoBackend()
    this.#defaults = checkDefaults(defaults)
    this.#shared = shared
    this.#namespace = namespace
    this.#path = path
    this.#parent = parent
    const { codec, loads, guard, events, lease } = shared
    // Only the default codec knows how to clone; another one may also encrypt what must not lie in memory as it is.
    if (this.#store.live !== undefined && codec === undefined) this.#live = new LiveRecords(this.#store.live)
    this.#records = this.#live ?? new EncodedRecords(this.#store, codec ?? defaultCodec)
    this.#tagged = new TaggedRecords(this.#records, loads)
    this.#protocol = new Protocol({
      records: this.#records,
      tagged: this.#tagged,
      loads,
      guard,
      events,
      lease: leaseOf(lease, this.#store.supports.shared),
      namespace,
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
    const looks = await this.#orMiss(() => this.#tagged.look(stored))
    const found = await Promise.all(keys.map((_, index) => this.#fresh(looks?.[index])))
    for (let index = 0; index < keys.length; index++) this.#count(keys[index] as string, found[index] !== undefined)
    return found
  }

  async getEntry<T extends V = V>(key: string): Promise<CacheEntry<T> | undefined> {
    const stored = this.#key(key)
    const entry = await this.#orMiss(async () => {
      const [look] = await this.#tagged.look([stored])
      const { record, state } = look as Look
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
    const [stored, , life, tags] = this.#entry(key, value, options, undefined)
    const prepared = await this.#records.prepare(stored, await validate(this.#defaults.schema, value))
    await this.#shared.loads.invalidate(this.#path, [key])
    await this.#ask(async () => {
      const { draft, ttl } = this.#tagged.draft(prepared, await this.#tagged.tokens(tags, life), life)
      await this.#records.set(stored, draft, ttl)
    })
    this.#emit('set', { key })
  }

  async setMany(
    entries: Iterable<readonly [key: string, value: V, options?: SetOptions]>,
    options?: SetOptions,
  ): Promise<void> {
    if (typeof entries !== 'object' || entries === null || !(Symbol.iterator in entries)) {
      throw invalidArgument(`entries must be an array or another iterable, not ${typeOf(entries)}.`)
    }
    const keys: string[] = []
    const checked = Array.from(entries, entry => {
      if (!Array.isArray(entry)) throw invalidArgument(`An entry must be [key, value, options?], not ${typeOf(entry)}.`)
      const [key, value, own] = entry as readonly [string, V, SetOptions?]
      keys.push(key)
      return this.#entry(key, value, own, options)
    })
    const prepare = async ([stored, value]: Entry) =>
      this.#records.prepare(stored, await validate(this.#defaults.schema, value as V))
    const prepared = await Promise.all(checked.map(prepare))
    await this.#shared.loads.invalidate(this.#path, keys)
    await this.#ask(async () => {
      // One batch for the tokens of all entries, which live as long as the longest.
      const longest = checked.map(([, , life]) => life).reduce(longer, { ttl: 0, stale: 0 })
      const tokens = await this.#tagged.tokens([...new Set(checked.flatMap(([, , , tags]) => tags))], longest)
      const drafts = checked.map(([stored, , life, tags], index) => {
        const own = new Map(tags.map(tag => [tag, tokens.get(tag)]))
        const { draft, ttl } = this.#tagged.draft(prepared[index] as never, own, life)
        return [stored, draft, ttl] as const
      })
      await this.#records.setMany(drafts)
    })
    for (const key of keys) this.#emit('set', { key })
  }

  async add(key: string, value: V, options?: SetOptions): Promise<boolean> {
    const [stored, , life, tags] = this.#entry(key, value, options, undefined)
    const prepared = await this.#records.prepare(stored, await validate(this.#defaults.schema, value))
    const added = await this.#ask(async () => {
      const { draft, ttl } = this.#tagged.draft(prepared, await this.#tagged.tokens(tags, life), life)
      for (let record: Stored | undefined; ; ) {
        if (await this.#records.swap(stored, record, draft, ttl)) return true
        const [look] = await this.#tagged.look([stored])
        if (look?.state === 'fresh' && (await this.#fresh(look))) return false
        record = look?.record
      }
    })
    if (!added) return false
    await this.#shared.loads.invalidate(this.#path, [key])
    this.#emit('set', { key })
    return true
  }

  async increment(key: string, by = 1, options?: { readonly ttl?: Ttl | undefined }): Promise<number> {
    const stored = this.#key(key)
    const { ttl } = this.#life(by as V, options)
    await this.#shared.loads.invalidate(this.#path, [key])
    const sum = await this.#ask(async () => {
      for (;;) {
        try {
          return await this.#store.increment(stored, by, { ttl })
        } catch (error) {
          if (!isCacheError(error, 'CACHE_NOT_A_COUNTER')) throw error
          const sum = await this.#incrementRecord(stored, by)
          if (sum === 'not a counter') throw error
          if (sum !== 'gone') return sum
        }
      }
    })
    this.#emit('set', { key })
    return sum
  }

  /** For what the store cannot count: an integer with tags or a stale time, and what is there but counts as absent. */
  async #incrementRecord(stored: string, by: number): Promise<number | 'gone' | 'not a counter'> {
    const [look] = await this.#tagged.look([stored])
    const { record, state, tokens } = look as Look
    if (record === undefined) return 'gone'
    if (state !== 'fresh') {
      if (record.kind === 'corrupt') return 'not a counter'
      await this.#records.remove(stored, record)
      return 'gone'
    }
    const value = await record.value()
    if (!Number.isSafeInteger(value)) return 'not a counter'
    const { sum } = addToCounter(Buffer.from(String(value)), by)
    const now = this.#records.now()
    const { freshUntil, expiresAt } = record
    const life = {
      ttl: expiresAt === undefined ? undefined : Math.max(1, (freshUntil ?? expiresAt) - now),
      stale: freshUntil === undefined ? 0 : (expiresAt ?? freshUntil) - freshUntil,
    }
    const own = new Map(Array.from(record.tags.keys(), tag => [tag, tokens.get(tag)]))
    const { draft, ttl } = this.#tagged.draft(await this.#records.prepare(stored, sum), own, life)
    return (await this.#records.swap(stored, record, draft, ttl)) ? sum : 'gone'
  }

  async touch(key: string, options?: { readonly ttl?: Ttl | undefined }): Promise<boolean> {
    const stored = this.#key(key)
    checkDefaults(options)
    return this.#ask(async () => {
      for (;;) {
        const [look] = await this.#tagged.look([stored])
        const found = await this.#fresh(look)
        const { record, tokens } = look as Look
        if (record === undefined || found === undefined) return false
        const life = this.#life(found.value as V, options)
        // A counter may change all the time, and nothing that it could be instead must not be touched.
        if (record.kind === 'integer') return this.#store.touch(stored, { ttl: life.ttl })
        const own = new Map(Array.from(record.tags.keys(), tag => [tag, tokens.get(tag)]))
        const prolonged = await this.#tagged.tokens([...own.keys()], life, own)
        const { draft, ttl } = this.#tagged.draft(record.prepared, prolonged, life)
        if (await this.#records.swap(stored, record, draft, ttl)) return true
      }
    })
  }

  async delete(key: string): Promise<boolean> {
    const stored = this.#key(key)
    await this.#shared.loads.invalidate(this.#path, [key])
    const deleted = await this.#ask(() => this.#store.delete(stored))
    this.#emit('delete', { key })
    return deleted
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    const stored = this.#keys(keys)
    await this.#shared.loads.invalidate(this.#path, keys)
    await this.#ask(() => this.#store.deleteMany(stored))
    for (const key of keys) this.#emit('delete', { key })
  }

  async deleteByTag(...tags: string[]): Promise<void> {
    this.#assertOpen()
    const checked = checkTags(tags)
    await this.#shared.loads.invalidateTags(this.#path, checked)
    await this.#ask(() => this.#store.deleteMany(keysOfTokens(checked)))
    this.#emit('deleteByTag', { tags: checked })
  }

  async clear(): Promise<void> {
    this.#assertOpen()
    await this.#shared.loads.invalidateAll(this.#path)
    await this.#ask(() => this.#store.clear())
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
    if (typeof loader !== 'function') throw invalidArgument(`loader must be a function, not ${typeOf(loader)}.`)
    const merged = this.#merge(options)
    const { signal, refresh = false, tags = [], shouldCache, schema, ttl } = merged
    signal?.throwIfAborted()
    const { soft, hard } = timeoutsOf(merged.loaderTimeout)
    if (this.backend === undefined) return loader({ key, signal: signal ?? new AbortController().signal })
    const [staleWhileRevalidate, staleIfError] = staleTimesOf(merged)
    const call: Call = {
      key,
      stored,
      loader,
      tags: checkTags(tags),
      life: typeof ttl === 'function' ? { ttl: 0, stale: 0 } : lifeOf(merged, undefined as V),
      refresh,
      signal,
      staleWhileRevalidate,
      staleIfError,
      softTimeout: soft,
      hardTimeout: hard,
      open: record => this.#open(record, merged),
      prepare: async (loaded): Promise<Loaded> => {
        if (loaded === NOTHING) return { value: loaded, life: call.life }
        const value = await validate(schema, loaded as V)
        if (shouldCache?.(value) === false) return { value, life: call.life }
        return { value, prepared: await this.#records.prepare(stored, value), life: lifeOf(merged, value) }
      },
      ...together,
    }
    return this.#protocol.getOrSet(call)
  }

  async getOrSetMany<T extends V>(
    keys: readonly string[],
    loader: BulkLoader<T>,
    options?: LoadOptions<NoInfer<T>>,
  ): Promise<(T | undefined)[]> {
    const stored = new Map(this.#keys(keys).map((each, index) => [keys[index] as string, each]))
    if (typeof loader !== 'function') throw invalidArgument(`loader must be a function, not ${typeOf(loader)}.`)
    const merged = this.#merge(options) as LoadOptions<V>
    const looks = await this.#lookMany([...stored.values()], merged)
    const first = new Map(Array.from(stored.keys(), (key, index) => [key, looks[index]]))
    const values = await loadMany([...stored.keys()], loader, (key, one, onWait) =>
      this.#getOrSet(key, one, merged, { first: first.get(key), onWait }),
    )
    return keys.map(key => values.get(key)) as (T | undefined)[]
  }

  /** Nothing where the store fails: then each key finds out for itself what that means. */
  async #lookMany(stored: readonly string[], { tags = [], signal }: LoadOptions<V>): Promise<readonly Look[]> {
    if (stored.length === 0 || this.backend === undefined) return []
    const { guard } = this.#shared
    try {
      return await guard.askPatiently(() => this.#tagged.look(stored, checkTags(tags)), signal)
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
    const path = childPrefix(this.#path, name)
    const merged = merge(this.#defaults as CacheDefaults<T>, checkDefaults(defaults))
    const namespace = this.#namespace === '' ? name : `${this.#namespace}:${name}`
    const parent = this as CacheView<never>
    return new CacheView<T>(this.backend?.namespace(name), merged, this.#shared, namespace, path, parent)
  }

  on<E extends keyof CacheEvents>(event: E, listener: (event: CacheEvents[E]) => void): () => void {
    return this.#shared.events.on(event, this.#namespace, listener)
  }

  stats(): CacheStats {
    return { ...this.#shared.events.stats }
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
    if (this.#parent === undefined) this.#shared.guard.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The live value under `key`. Anything out of the ordinary is left to the path that can reject. */
  #hit(key: string, { schema }: { readonly schema?: unknown }): Promise<unknown> | undefined {
    if (schema !== undefined) return undefined
    try {
      const hit = this.#live?.hit(toStoreKey(key))
      if (hit !== undefined) this.#shared.events.hit(this.#namespace, key)
      return hit
    } catch {
      return undefined
    }
  }

  /** The value of a record, if it can be decoded and fits the schema. */
  async #open(record: Stored, { schema }: CacheDefaults<V>): Promise<Found> {
    try {
      return { value: await validate(schema, (await record.value()) as V) }
    } catch (error) {
      if (isCacheError(error, 'CACHE_CORRUPT_ENTRY') || isCacheError(error, 'CACHE_INVALID_VALUE')) return undefined
      throw error
    }
  }

  async #fresh(look: Look | undefined): Promise<Found> {
    return look?.state === 'fresh' ? this.#open(look.record as Stored, this.#defaults) : undefined
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

  #merge<T extends object>(options: T | undefined): CacheDefaults<V> & T {
    return merge(this.#defaults as CacheDefaults<V> & T, checkDefaults(options))
  }

  #life(value: V, options: { readonly ttl?: Ttl | undefined } | undefined): Life {
    return lifeOf(this.#merge(options), value)
  }

  #entry(key: string, value: V, own: SetOptions | undefined, others: SetOptions | undefined): Entry {
    const stored = this.#key(key)
    const options = this.#merge(own ?? others)
    return [stored, value, lifeOf(options, value), checkTags(options.tags ?? [])]
  }

  /** Asks the store; tells of its failures. */
  async #ask<T>(call: () => Awaitable<T>): Promise<T> {
    try {
      return await this.#shared.guard.ask(call)
    } catch (error) {
      this.#fail(error)
      throw error
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
    if (!isStoreFailure(error)) return
    this.#shared.events.stats.failures++
    this.#emit('failure', { error })
  }

  #count(key: string, found: boolean): void {
    if (found) {
      this.#shared.events.hit(this.#namespace, key)
      return
    }
    this.#shared.events.stats.misses++
    this.#emit('miss', { key })
  }

  #emit<N extends keyof CacheEvents>(name: N, event: Omit<CacheEvents[N], 'namespace'>): void {
    this.#shared.events.emit(name, { ...event, namespace: this.#namespace } as CacheEvents[N])
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

function longer(a: Life, b: Life): Life {
  return a.ttl === undefined || b.ttl === undefined
    ? { ttl: undefined, stale: 0 }
    : { ttl: Math.max(a.ttl + a.stale, b.ttl + b.stale), stale: 0 }
}

function isStoreFailure(error: unknown): boolean {
  return isCacheError(error) && STORE_FAILURES.has(error.code)
}
