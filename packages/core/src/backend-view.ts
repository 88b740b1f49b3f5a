import * as types from 'node:util/types'
import type {
  BackendEntry,
  BackendSupports,
  CacheBackend,
  LiveStore,
  NewEntry,
  StoredEntry,
  WriteOptions,
} from './backend.ts'
import { CacheError, describeArgument, invalidArgument, isCacheError, typeOf } from './errors.ts'
import type { CallKind, Lifecycle, LifecycleHooks, Progress } from './lifecycle.ts'
import { assertKey, childPrefix, toId, toKey } from './physical-id.ts'
import { checkTtl } from './ttl.ts'

/** The hooks of `BaseBackend`, as a view calls them. */
export interface BackendHooks extends LifecycleHooks {
  _get(id: string): Promise<StoredEntry | undefined>
  _getEntry(id: string): Promise<BackendEntry | undefined>
  _has(id: string, progress: Progress): Promise<boolean>
  readonly _repeats: boolean
  _getMany(ids: readonly string[], progress: Progress): Promise<readonly (StoredEntry | undefined)[]>
  _set(id: string, entry: NewEntry): Promise<void>
  _setMany(entries: readonly (readonly [id: string, entry: NewEntry])[], progress: Progress): Promise<void>
  _add(id: string, entry: NewEntry, progress: Progress): Promise<boolean>
  _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry, progress: Progress): Promise<boolean>
  _compareAndDelete(id: string, expected: Uint8Array, progress: Progress): Promise<boolean>
  _increment(id: string, by: number, deadline: Deadline, progress: Progress): Promise<number>
  _touch(id: string, deadline: Deadline, progress: Progress): Promise<boolean>
  _delete(id: string, progress: Progress): Promise<boolean>
  _deleteMany(ids: readonly string[], progress: Progress): Promise<void>
  _clear(prefix: string, progress: Progress): Promise<void>
  _keys(prefix: string, progress: Progress): AsyncIterable<string>
  _live(prefix: string, assertOpen: () => void): LiveStore | undefined
}

/** A new deadline, absolute and relative; neither is set for "no expiry". */
export type Deadline = Pick<NewEntry, 'expiresAt' | 'ttl'>

/** What all views of one backend share. */
export interface ViewContext {
  readonly name: string
  readonly supports: BackendSupports
  readonly hooks: BackendHooks
  readonly lifecycle: Lifecycle
  readonly now: () => number
}

const read = (operation: string): CallKind => ({ operation, write: false, long: false })
const write = (operation: string): CallKind => ({ operation, write: true, long: false })
const GET = read('get')
const GET_ENTRY = read('getEntry')
const HAS = read('has')
const OPEN = read('open')
const SET = write('set')
const ADD = write('add')
const COMPARE_AND_SET = write('compareAndSet')
const COMPARE_AND_DELETE = write('compareAndDelete')
const INCREMENT = write('increment')
const TOUCH = write('touch')
const DELETE = write('delete')
const GET_MANY: CallKind = { operation: 'getMany', write: false, long: true }
const SET_MANY: CallKind = { operation: 'setMany', write: true, long: true }
const DELETE_MANY: CallKind = { operation: 'deleteMany', write: true, long: true }
const CLEAR: CallKind = { operation: 'clear', write: true, long: true }
const KEYS: CallKind = { operation: 'keys', write: false, long: true }

/**
 * The public half of a backend: checks arguments, turns keys into ids, applies deadlines, and leaves the storing to the
 * hooks. A backend is the view of its root namespace; `namespace()` makes further views of the same store.
 */
export class BackendView implements CacheBackend {
  readonly #context: ViewContext
  readonly #prefix: string
  readonly #parent: BackendView | undefined
  #closing: Promise<void> | undefined
  #live: LiveStore | undefined

  constructor(context: (view: BackendView) => ViewContext, prefix: string, parent?: BackendView) {
    this.#context = context(this)
    this.#prefix = prefix
    this.#parent = parent
  }

  get name(): string {
    return this.#context.name
  }

  get supports(): BackendSupports {
    return this.#context.supports
  }

  get live(): LiveStore | undefined {
    this.#live ??= this.#context.hooks._live(this.#prefix, () => this.#assertOpen())
    return this.#live
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#call(GET, () => {
      const id = this.#id(key)
      return () => this.#context.hooks._get(id).then(entry => this.#visible(entry)?.value)
    })
  }

  getEntry(key: string): Promise<BackendEntry | undefined> {
    return this.#call(GET_ENTRY, () => {
      const id = this.#id(key)
      return () => this.#context.hooks._getEntry(id)
    })
  }

  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return this.#call(GET_MANY, () => {
      const ids = this.#ids(keys)
      if (ids.length === 0) return []
      // Of the keys first: ids are fresh strings, which would be hashed here for the first time.
      const unique = this.#context.hooks._repeats || new Set(keys).size === ids.length ? ids : [...new Set(ids)]
      return async progress => {
        const entries = await this.#context.hooks._getMany(unique, progress)
        const values = entries.map(entry => this.#visible(entry)?.value)
        return unique === ids ? values : repeatAnswers(ids, unique, values)
      }
    })
  }

  has(key: string): Promise<boolean> {
    return this.#call(HAS, () => {
      const id = this.#id(key)
      return progress => this.#context.hooks._has(id, progress)
    })
  }

  set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
    return this.#call(SET, () => {
      const id = this.#id(key)
      const entry = this.#newEntry(value, options)
      return () => this.#context.hooks._set(id, entry)
    })
  }

  setMany(
    entries: Iterable<readonly [key: string, value: Uint8Array, options?: WriteOptions]>,
    options?: WriteOptions,
  ): Promise<void> {
    return this.#call(SET_MANY, () => {
      assertIterable('entries', entries)
      const byId = new Map<string, NewEntry>()
      for (const entry of entries) {
        if (!Array.isArray(entry))
          throw invalidArgument(`An entry must be [key, value, options?], not ${typeOf(entry)}.`)
        const [key, value, own] = entry
        byId.set(this.#id(key), this.#newEntry(value, own ?? options))
      }
      return byId.size === 0 ? undefined : progress => this.#context.hooks._setMany([...byId], progress)
    })
  }

  add(key: string, value: Uint8Array, options?: WriteOptions): Promise<boolean> {
    return this.#call(ADD, () => {
      const id = this.#id(key)
      const entry = this.#newEntry(value, options)
      return progress => this.#context.hooks._add(id, entry, progress)
    })
  }

  compareAndSet(key: string, expected: Uint8Array, value: Uint8Array, options?: WriteOptions): Promise<boolean> {
    return this.#call(COMPARE_AND_SET, () => {
      const id = this.#id(key)
      const bytes = copyBytes('expected', expected)
      const entry = this.#newEntry(value, options)
      return progress => this.#context.hooks._compareAndSet(id, bytes, entry, progress)
    })
  }

  compareAndDelete(key: string, expected: Uint8Array): Promise<boolean> {
    return this.#call(COMPARE_AND_DELETE, () => {
      const id = this.#id(key)
      const bytes = copyBytes('expected', expected)
      return progress => this.#context.hooks._compareAndDelete(id, bytes, progress)
    })
  }

  increment(key: string, by = 1, options?: WriteOptions): Promise<number> {
    return this.#call(INCREMENT, () => {
      const id = this.#id(key)
      if (!Number.isSafeInteger(by)) throw invalidArgument(`by must be a safe integer, not ${describeArgument(by)}.`)
      const deadline = this.#deadline(writeTtl(options))
      // `+ 0` turns -0 into 0, which stores would write as "-0".
      return progress => this.#context.hooks._increment(id, by + 0, deadline, progress)
    })
  }

  touch(key: string, options: { readonly ttl: number | undefined }): Promise<boolean> {
    return this.#call(TOUCH, () => {
      const id = this.#id(key)
      if (typeof options !== 'object' || options === null || !('ttl' in options)) {
        throw invalidArgument('touch needs { ttl } as its second argument; { ttl: undefined } means no expiry.')
      }
      const deadline = this.#deadline(options.ttl)
      return progress => this.#context.hooks._touch(id, deadline, progress)
    })
  }

  delete(key: string): Promise<boolean> {
    return this.#call(DELETE, () => {
      const id = this.#id(key)
      return progress => this.#context.hooks._delete(id, progress)
    })
  }

  deleteMany(keys: readonly string[]): Promise<void> {
    return this.#call(DELETE_MANY, () => {
      const ids = new Set(this.#ids(keys))
      return ids.size === 0 ? undefined : progress => this.#context.hooks._deleteMany([...ids], progress)
    })
  }

  clear(): Promise<void> {
    return this.#call(CLEAR, () => progress => this.#context.hooks._clear(this.#prefix, progress))
  }

  async *keys(): AsyncGenerator<string> {
    let iterator: AsyncIterator<string> | undefined
    let current: Progress = () => {}
    let open = true
    try {
      while (open) {
        open = false // also if `next` rejects: such an iterator has ended
        const result = await this.#call(KEYS, () => {
          const ids = iterator ?? this.#iterate(() => current())
          iterator = ids
          return progress => {
            current = progress
            return ids.next()
          }
        })
        if (result.done) return
        open = true
        const key = toKey(this.#prefix, result.value)
        if (key !== undefined) yield key
      }
    } finally {
      if (open) await this.#call(KEYS, () => async () => iterator?.return?.())
    }
  }

  namespace(name: string): CacheBackend {
    return new BackendView(() => this.#context, childPrefix(this.#prefix, name), this)
  }

  open(): Promise<void> {
    return this.#call(OPEN, () => async () => {})
  }

  close(): Promise<void> {
    const { lifecycle } = this.#context
    this.#closing ??= this.#parent === undefined ? lifecycle.close() : lifecycle.drain(owner => this.#contains(owner))
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Whether `owner` is this view or one made from it. */
  #contains(owner: unknown): boolean {
    for (let view = owner instanceof BackendView ? owner : undefined; view !== undefined; view = view.#parent) {
      if (view === this) return true
    }
    return false
  }

  #assertOpen(): void {
    for (let view: BackendView | undefined = this; view !== undefined; view = view.#parent) {
      if (view.#closing !== undefined) {
        throw new CacheError({
          code: 'CACHE_CLOSED',
          message: `This ${this.name} backend${view.#parent ? ' namespace' : ''} was closed.`,
        })
      }
    }
  }

  /**
   * One call: `prepare` checks the arguments, before any I/O, and returns what is to be run on the store, or the answer
   * itself where nothing is. What either throws reaches the user as a `CacheError` of this operation.
   */
  #call<T>(
    kind: CallKind,
    prepare: () => ((progress: Progress) => Promise<T>) | Exclude<T, () => unknown>,
  ): Promise<T> {
    const { lifecycle } = this.#context
    let hook: ReturnType<typeof prepare>
    try {
      this.#assertOpen()
      hook = prepare()
    } catch (error) {
      return Promise.reject(lifecycle.toCacheError(error, kind, false))
    }
    if (typeof hook !== 'function') return Promise.resolve(hook)
    const answer = lifecycle.run(kind, this, hook as (progress: Progress) => Promise<T>)
    return kind.long ? answer.catch(error => this.#withKeys(error)) : answer
  }

  /** Hooks name what failed in a batch by id, users read keys. */
  #withKeys(error: unknown): never {
    if (!isCacheError(error) || error.keys === undefined) throw error
    const { message, cause, keys } = error
    throw new CacheError({ ...error, message, cause, keys: keys.map(id => toKey(this.#prefix, id) ?? id) })
  }

  #id(key: unknown): string {
    assertKey(key)
    return toId(this.#prefix, key)
  }

  #ids(keys: unknown): string[] {
    assertIterable('keys', keys)
    const ids: string[] = []
    for (const key of keys) ids.push(this.#id(key))
    return ids
  }

  #iterate(progress: Progress): AsyncIterator<string> {
    if (!this.supports.iteration) {
      throw new CacheError({
        code: 'CACHE_NOT_SUPPORTED',
        message: `${this.name} cannot list its keys (supports.iteration is false).`,
      })
    }
    return this.#context.hooks._keys(this.#prefix, progress)[Symbol.asyncIterator]()
  }

  /** The entry unless it has expired by our clock; where the store's clock decides, the store has already looked. */
  #visible(entry: StoredEntry | undefined): StoredEntry | undefined {
    if (entry?.expiresAt === undefined || this.supports.clock === 'store') return entry
    return entry.expiresAt > this.#context.now() ? entry : undefined
  }

  #newEntry(value: unknown, options: WriteOptions | undefined): NewEntry {
    const { ttl, expiresAt } = this.#deadline(writeTtl(options))
    const { maxValueBytes } = this.supports
    if (types.isUint8Array(value) && value.byteLength > maxValueBytes) {
      throw new CacheError({
        code: 'CACHE_VALUE_TOO_LARGE',
        message: `The value has ${value.byteLength} bytes; ${this.name} takes at most ${maxValueBytes}.`,
      })
    }
    return { value: copyBytes('value', value), ttl, expiresAt }
  }

  #deadline(ttl: number | undefined): Deadline {
    if (ttl === undefined) return {}
    const whole = checkTtl(ttl)
    return { ttl: whole, expiresAt: this.#context.now() + whole }
  }
}

/** A copy: what the caller does to its buffer after the call changes nothing. */
function copyBytes(argument: string, bytes: unknown): Uint8Array {
  if (!types.isUint8Array(bytes)) throw invalidArgument(`${argument} must be a Uint8Array, not ${typeOf(bytes)}.`)
  return Buffer.from(bytes)
}

function writeTtl(options: unknown): number | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null) {
    throw invalidArgument(`options must be an object such as { ttl: 1000 }, not ${describeArgument(options)}.`)
  }
  return (options as WriteOptions).ttl
}

function assertIterable(argument: string, value: unknown): asserts value is Iterable<unknown> {
  if (typeof value !== 'object' || value === null || !(Symbol.iterator in value)) {
    throw invalidArgument(`${argument} must be an array or another iterable, not ${typeOf(value)}.`)
  }
}

/** `ids` may name one id several times; each gets the value of that id, and no two share a buffer. */
function repeatAnswers(
  ids: readonly string[],
  unique: readonly string[],
  values: readonly (Uint8Array | undefined)[],
): (Uint8Array | undefined)[] {
  const byId = new Map(unique.map((id, index) => [id, values[index]]))
  const given = new Set<string>()
  return ids.map(id => {
    const value = byId.get(id)
    const first = given.size < given.add(id).size
    return first ? value : value && new Uint8Array(value)
  })
}
