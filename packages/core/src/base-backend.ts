import type { BackendEntry, BackendSupports, LiveStore, NewEntry, StoredEntry } from './backend.ts'
import { type BackendHooks, BackendView, type Deadline } from './backend-view.ts'
import { addToCounter } from './counter.ts'
import { CacheError, type CacheErrorFields, describeArgument, invalidArgument, isCacheError } from './errors.ts'
import { errorFields, Lifecycle, type Progress } from './lifecycle.ts'
import { rootPrefix } from './physical-id.ts'

/** Options of every backend. */
export interface BackendOptions {
  /** The namespace of the backend itself. Default: `'cachekit'`. */
  readonly namespace?: string | undefined
  /** Milliseconds that one call may take, connecting included. Default: 2000. */
  readonly timeout?: number | undefined
  /** The clock, in milliseconds since 1970, where `supports.clock` is `'caller'`. Default: `Date.now`. */
  readonly now?: (() => number) | undefined
}

/** What a derived operation answers, and what it writes first, if anything. */
interface Decision<T> {
  readonly answer: T
  readonly write?: { readonly expected: StoredEntry | undefined; readonly next: NewEntry | undefined } | undefined
}

/**
 * How much goes into one batch of a native command: at most `keys`, and no more once `size` has summed up to `bytes`; and
 * how many batches are under way at a time (default 1).
 */
export interface BatchLimits {
  readonly keys: number
  readonly concurrency?: number | undefined
  readonly bytes?: number | undefined
  /** Default: the bytes of the value that is to be stored; of an id alone 0. */
  readonly size?: ((id: string, entry?: NewEntry) => number) | undefined
}

/** What goes into batches: an id, or one with the entry that is to be stored under it. */
export type BatchItem = string | readonly [id: string, entry: NewEntry]

/** The derived batches: calls of a single-key hook, so many under way at a time. */
const ONE_BY_ONE: BatchLimits = { keys: 1, concurrency: 32 }

/**
 * The implementor's half of a backend. `_get`, `_set`, `_swap` and `_clear` make a correct one; every other hook has a
 * default that is derived from these, and is overridden for speed where the store has a native form of it.
 *
 * Hooks get checked arguments, physical ids and copies of the caller's bytes, and may throw anything: `_toError` says
 * what it means. They keep no time: every call ends at the timeout whether its hook has settled or not. Hooks that loop
 * call `progress()` at each turn: it throws once nobody waits any more, and gives `clear` and the batches their whole
 * timeout again.
 *
 * Where `supports.clock` is `'caller'`, hooks return entries as stored, expired or not; `_has` and other natives that
 * answer no entry compare `expiresAt` with `this.now()` themselves. Where it is `'store'`, an expired entry is absent to
 * every hook, and `_getEntry` is overridden, as only the store can tell how much time is left.
 */
export abstract class BaseBackend extends BackendView {
  /** Milliseconds since 1970, by the clock given in the options. */
  protected readonly now: () => number
  /** Milliseconds that one call has. */
  protected readonly timeout: number
  readonly #lifecycle: Lifecycle

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  protected constructor(name: string, supports: BackendSupports, options: BackendOptions = {}) {
    const { namespace = 'cachekit', timeout = 2000, now = Date.now } = options
    if (!(typeof timeout === 'number' && timeout > 0 && timeout <= 0x7fffffff)) {
      throw invalidArgument(
        `timeout must be a number of milliseconds between 0 and 2147483647, not ${describeArgument(timeout)}.`,
      )
    }
    if (typeof now !== 'function') throw invalidArgument(`now must be a function, not ${describeArgument(now)}.`)
    let lifecycle: Lifecycle | undefined
    super(view => {
      const hooks = view as unknown as BackendHooks
      lifecycle = new Lifecycle(name, timeout, hooks)
      return { name, supports: Object.freeze({ ...supports }), hooks, lifecycle, now }
    }, rootPrefix(namespace))
    this.#lifecycle = lifecycle as unknown as Lifecycle
    this.now = now
    this.timeout = timeout
  }

  /** Reads the record under `id`. */
  protected abstract _get(id: string): Promise<StoredEntry | undefined>

  /** Stores a record, whatever was there: value and deadline. */
  protected abstract _set(id: string, entry: NewEntry): Promise<void>

  /**
   * Replaces the record by `next` if it still equals `expected` in bytes and deadline, in one atomic step; answers whether
   * it did. `expected` is the very object that `_get` returned, so that it may carry the store's own token; `undefined`:
   * there is no record. `next` `undefined`: remove it.
   */
  protected abstract _swap(id: string, expected: StoredEntry | undefined, next: NewEntry | undefined): Promise<boolean>

  /** Removes every record whose id starts with `prefix`. */
  protected abstract _clear(prefix: string, progress: Progress): Promise<void>

  /** Connects and creates what the store needs. Runs again after it failed or took longer than the timeout. */
  protected async _open(): Promise<void> {}

  /** Frees everything that this backend opened. Runs once, when no call is under way, also if nothing was opened. */
  protected async _close(): Promise<void> {}

  /** A call, or `_open`, got no answer in time: a chance to drop a connection that may be dead. */
  protected _timedOut(): void {}

  /** For a backend to call when its connection is gone: `_open` runs again before the next call. */
  protected disconnected(): void {
    this.#lifecycle.reopen()
  }

  /** The ids of the live records whose id starts with `prefix`; the original id where the store keeps a hash. */
  protected _keys(_prefix: string, _progress: Progress): AsyncIterable<string> {
    throw new CacheError({ code: 'CACHE_NOT_SUPPORTED', message: 'This backend implements no _keys.' })
  }

  /** What a driver's error means. `undefined`: nothing known, `CACHE_BACKEND_FAILED`. */
  protected _toError(_error: unknown): CacheErrorFields | undefined {
    return undefined
  }

  /** The entries of the namespace with this prefix, where they live in this process. `assertOpen` throws after `close`. */
  protected _live(_prefix: string, _assertOpen: () => void): LiveStore | undefined {
    return undefined
  }

  protected async _getEntry(id: string): Promise<BackendEntry | undefined> {
    const entry = await this._get(id)
    if (entry === undefined) return undefined
    const ttl = entry.expiresAt === undefined ? undefined : entry.expiresAt - this.now()
    return ttl !== undefined && ttl <= 0 ? undefined : { value: entry.value, ttl }
  }

  protected async _has(id: string, _progress: Progress): Promise<boolean> {
    return this.isLive(await this._get(id))
  }

  /**
   * Whether `_getMany` answers an id twice that it is given twice, each time with bytes of its own. Otherwise it is given
   * each id once, which has to be looked for: some per cent of the time of a fast store.
   */
  protected readonly _repeats: boolean = false

  protected async _getMany(ids: readonly string[], progress: Progress): Promise<readonly (StoredEntry | undefined)[]> {
    const entries: (StoredEntry | undefined)[] = new Array(ids.length)
    await this.inBatches(ids, ONE_BY_ONE, progress, async ([id], _failed, index) => {
      entries[index] = await this._get(id as string)
    })
    return entries
  }

  protected async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    await this.inBatches(entries, ONE_BY_ONE, progress, async batch => {
      for (const [id, entry] of batch) await this._set(id, entry)
    })
  }

  protected async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.inBatches(ids, ONE_BY_ONE, progress, async ([id]) => {
      await this._delete(id as string, progress)
    })
  }

  protected async _add(id: string, entry: NewEntry, progress: Progress): Promise<boolean> {
    return this.#update(id, progress, (live, stored) =>
      live ? { answer: false } : { answer: true, write: { expected: stored, next: entry } },
    )
  }

  protected async _compareAndSet(
    id: string,
    expected: Uint8Array,
    entry: NewEntry,
    progress: Progress,
  ): Promise<boolean> {
    return this.#update(id, progress, live =>
      live && equalBytes(live.value, expected)
        ? { answer: true, write: { expected: live, next: entry } }
        : { answer: false },
    )
  }

  protected async _compareAndDelete(id: string, expected: Uint8Array, progress: Progress): Promise<boolean> {
    return this.#update(id, progress, live =>
      live && equalBytes(live.value, expected)
        ? { answer: true, write: { expected: live, next: undefined } }
        : { answer: false },
    )
  }

  protected async _increment(id: string, by: number, deadline: Deadline, progress: Progress): Promise<number> {
    return this.#update(id, progress, (live, stored) => {
      const { sum, bytes } = addToCounter(live?.value, by)
      const next = live === undefined ? { value: bytes, ...deadline } : { value: bytes, expiresAt: live.expiresAt }
      return { answer: sum, write: { expected: stored, next } }
    })
  }

  protected async _touch(id: string, deadline: Deadline, progress: Progress): Promise<boolean> {
    return this.#update(id, progress, live =>
      live ? { answer: true, write: { expected: live, next: { value: live.value, ...deadline } } } : { answer: false },
    )
  }

  protected async _delete(id: string, progress: Progress): Promise<boolean> {
    return this.#update(id, progress, (live, stored) => ({
      answer: live !== undefined,
      write: stored && { expected: stored, next: undefined },
    }))
  }

  /**
   * Reads the record and swaps it as `decide` says, again after each `false` of `_swap`: somebody else was first. `live`
   * is `stored` unless that has expired.
   */
  async #update<T>(
    id: string,
    progress: Progress,
    decide: (live: StoredEntry | undefined, stored: StoredEntry | undefined) => Decision<T>,
  ): Promise<T> {
    for (;;) {
      const stored = await this._get(id)
      const { answer, write } = decide(this.isLive(stored) ? stored : undefined, stored)
      if (write === undefined || (await this._swap(id, write.expected, write.next))) return answer
      progress()
    }
  }

  /** Whether there is a record that has not expired. Where the store's clock decides, the store has already looked. */
  protected isLive(entry: Pick<StoredEntry, 'expiresAt'> | undefined): boolean {
    if (entry?.expiresAt === undefined || this.supports.clock === 'store') return entry !== undefined
    return entry.expiresAt > this.now()
  }

  /**
   * For native batches: has `send` send the items some at a time, all of them whatever fails; then rejects naming those
   * that failed. What `send` throws has failed for its whole batch, `failed` tells of single ids. `start` is the index of
   * the batch's first item.
   */
  protected async inBatches<T extends BatchItem>(
    items: readonly T[],
    { keys, bytes = Number.POSITIVE_INFINITY, size = valueSize, concurrency = 1 }: BatchLimits,
    progress: Progress,
    send: (batch: T[], failed: (id: string, error: unknown) => void, start: number) => Promise<void>,
  ): Promise<void> {
    const lost: string[] = []
    let cause: unknown
    let end = 0
    const worker = async (): Promise<void> => {
      while (end < items.length) {
        const start = end
        for (let sum = 0; end < items.length && end - start < keys && sum < bytes; end++) {
          const item = items[end] as BatchItem
          sum += typeof item === 'string' ? size(item) : size(...item)
        }
        const batch = items.slice(start, end)
        let lostHere = 0
        const failed = (id: string, error: unknown): void => {
          lostHere++
          lost.push(id)
          cause ??= error
        }
        try {
          await send(batch, failed, start)
        } catch (error) {
          for (const item of batch) failed(typeof item === 'string' ? item : item[0], error)
        }
        progress(lostHere < batch.length)
      }
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
    if (lost.length > 0) throw this.batchFailure(items.length, lost, cause)
  }

  /**
   * The error for a batch of which the calls for the ids in `failed` did not succeed: `CACHE_BATCH_FAILED`, or, if all
   * failed, what `cause` means for a single call. For native batches, too.
   */
  protected batchFailure(size: number, failed: readonly string[], cause: unknown): CacheError {
    const fields = errorFields(cause, error => this._toError(error))
    if (failed.length === size) return new CacheError({ ...fields, keys: failed })
    return new CacheError({
      ...fields,
      code: 'CACHE_BATCH_FAILED',
      message: `${failed.length} of ${size} keys failed; they are named in the error's keys, the others are applied`,
      // Not the driver's error as it is: `_toError` may have taken values and passwords out of it.
      cause: isCacheError(cause) ? cause : fields.cause,
      keys: failed,
    })
  }
}

function valueSize(_id: string, entry?: NewEntry): number {
  return entry === undefined ? 0 : entry.value.byteLength
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
}
