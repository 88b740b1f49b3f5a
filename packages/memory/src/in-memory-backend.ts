import { setImmediate } from 'node:timers/promises'
import {
  type BackendOptions,
  BaseBackend,
  CacheError,
  type CacheErrorCode,
  describeArgument,
  invalidArgument,
  type LiveStore,
  type NewEntry,
  type Progress,
  type StoredEntry,
  splitId,
  toId,
} from '@cachekit/core'
import { EncodedEntry } from './encoded-entry.ts'
import { estimateSize } from './estimate-size.ts'
import { LiveView } from './live-view.ts'
import { Lru } from './lru.ts'
import { MemoryStore } from './memory-store.ts'
import { S3Fifo } from './s3-fifo.ts'
import type { Entry } from './slot.ts'
import type { Space } from './space.ts'
import type { SweepOptions } from './sweep.ts'

export interface InMemoryBackendOptions extends BackendOptions {
  /** How many entries are kept, in all namespaces together. Default: 10,000. */
  readonly maxEntries?: number | undefined
  /**
   * How many bytes the values may take together, as `sizeOf` counts them. Keys and bookkeeping, 150 to 400 bytes
   * for each entry, are not counted. Default: no limit.
   */
  readonly maxBytes?: number | undefined
  /**
   * Who leaves when there is no more room. `'lru'`: what was not used for the longest time. `'s3fifo'`: keeps what is used
   * again and again through scans over many keys; mostly more hits, and cheaper ones. Default: `'lru'`.
   */
  readonly policy?: 'lru' | 's3fifo' | undefined
  /**
   * `'clone'`: a cache puts in and hands out clones, so that memory behaves as any other store does. `'share'`: it hands
   * out the stored object itself, which is faster; nobody may change it. Default: `'clone'`.
   */
  readonly isolation?: 'clone' | 'share' | undefined
  /**
   * The size of a value in bytes, greater than 0; an estimate is enough. It gets the value itself, or a `Uint8Array` if it
   * was stored as bytes; it is not asked about `undefined`. Only with `maxBytes`. Default: the length of bytes, an estimate
   * for what a cache stores.
   */
  readonly sizeOf?: SizeOf | undefined
  /**
   * Removes expired entries every `interval` milliseconds (default: 10,000), at most `batchSize` at a time (default: 1,000).
   * `false`: they stay until they are replaced or their room is needed. Default: on.
   */
  readonly sweep?:
    | { readonly interval?: number | undefined; readonly batchSize?: number | undefined }
    | false
    | undefined
}

const NAME = 'memory'
/** As much as Redis takes, so that what fits here fits there. It also is far below what a `Uint8Array` can be. */
const MAX_VALUE_BYTES = 512 * 1024 * 1024
/** After so many entries `clear` lets other work go on: about a millisecond. */
const STEPS_PER_TURN = 1000
const MAX_INTERVAL = 0x7fffffff

/**
 * Entries in the memory of this process.
 *
 * Its `live` view, and with it a cache, takes and gives values without encoding them; the other methods, which deal in
 * bytes, see the same entries.
 */
export class InMemoryBackend extends BaseBackend {
  readonly #store: MemoryStore
  readonly #isolation: 'clone' | 'share'

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. */
  constructor(options: InMemoryBackendOptions = {}) {
    const { maxEntries = 10_000, maxBytes, policy = 'lru', isolation = 'clone', sizeOf, sweep } = options
    assertCount('maxEntries', maxEntries)
    if (maxBytes !== undefined) assertCount('maxBytes', maxBytes)
    assertOneOf('policy', policy, ['lru', 's3fifo'])
    assertOneOf('isolation', isolation, ['clone', 'share'])
    if (sizeOf !== undefined && typeof sizeOf !== 'function') {
      throw invalidArgument(`sizeOf must be a function, not ${describeArgument(sizeOf)}.`)
    }
    if (sizeOf !== undefined && maxBytes === undefined) throw invalidArgument('sizeOf needs maxBytes.')
    const capacity = maxBytes ?? Number.POSITIVE_INFINITY
    super(
      NAME,
      {
        maxValueBytes: Math.min(capacity, MAX_VALUE_BYTES),
        clock: 'caller',
        persistent: false,
        shared: false,
        evicts: true,
        iteration: true,
      },
      options,
    )
    this.#isolation = isolation
    this.#store = new MemoryStore({
      policy: policy === 'lru' ? new Lru() : new S3Fifo(maxEntries, capacity),
      maxEntries,
      maxBytes: capacity,
      weigh: maxBytes === undefined ? () => 0 : scales(maxBytes, sizeOf),
      sweep: sweepOptions(sweep),
      now: this.now,
    })
  }

  override get live(): LiveStore {
    return super.live as LiveStore
  }

  protected override _live(prefix: string, assertOpen: () => void): LiveStore {
    return new LiveView(this.#store, prefix, { isolation: this.#isolation, now: this.now, assertOpen })
  }

  protected async _get(id: string): Promise<EncodedEntry | undefined> {
    return this.#read(id)
  }

  protected override async _getMany(ids: readonly string[]): Promise<readonly (EncodedEntry | undefined)[]> {
    return ids.map(id => this.#read(id))
  }

  /** As opposed to `_get`, this is no use: whoever only asks does not keep an entry alive. */
  protected override async _has(id: string): Promise<boolean> {
    return this.#store.peek(...this.#place(id)) !== undefined
  }

  protected async _set(id: string, entry: NewEntry): Promise<void> {
    this.#store.set(...this.#place(id), stored(entry))
  }

  protected async _swap(id: string, expected: StoredEntry | undefined, next: NewEntry | undefined): Promise<boolean> {
    const entry = (expected as EncodedEntry | undefined)?.entry
    return this.#store.swap(...this.#place(id), entry, next && stored(next))
  }

  protected async _clear(prefix: string, progress: Progress): Promise<void> {
    let steps = 0
    for (const _ of this.#store.clear(prefix)) {
      if (++steps % STEPS_PER_TURN !== 0) continue
      await setImmediate()
      progress()
    }
  }

  protected override async *_keys(prefix: string): AsyncGenerator<string> {
    for (const key of this.#store.keys(prefix)) yield toId(prefix, key)
  }

  protected override async _close(): Promise<void> {
    this.#store.close()
  }

  #read(id: string): EncodedEntry | undefined {
    const entry = this.#store.get(...this.#place(id))
    return entry && new EncodedEntry(entry)
  }

  #place(id: string): [space: Space, key: string] {
    const { prefix, key } = splitId(id)
    return [this.#store.space(prefix), key]
  }
}

/** What is kept of an entry that comes as bytes. */
function stored({ value, expiresAt }: NewEntry): StoredEntry {
  // Bytes that are part of something larger, such as a pooled buffer, would keep all of it.
  return { value: value.byteLength === value.buffer.byteLength ? value : new Uint8Array(value), expiresAt }
}

type SizeOf = (value: unknown, key: string) => number

/** Says what an entry counts, and refuses what counts more than there is room for. */
function scales(maxBytes: number, sizeOf: SizeOf | undefined): (entry: Entry, key: string) => number {
  return (entry, key) => {
    // Also what a cache stores beside its values, such as the tokens of tags, is `undefined`.
    const asks = sizeOf !== undefined && entry.value !== undefined
    const size = asks ? ownSize(sizeOf, entry.value, key) : encodedSize(entry)
    if (size <= maxBytes) return size
    throw refusal('CACHE_VALUE_TOO_LARGE', `The value counts ${size} bytes; maxBytes is ${maxBytes}.`)
  }
}

function encodedSize(entry: Entry): number {
  const size = 'encode' in entry ? (entry.size ?? estimateSize(entry.value)) : entry.value.byteLength
  if (size >= 0) return Math.ceil(size)
  throw refusal(
    'CACHE_INVALID_ARGUMENT',
    `The size of an entry must be a number of bytes, not ${describeArgument(size)}.`,
  )
}

function ownSize(sizeOf: SizeOf, value: unknown, key: string): number {
  let size: number
  try {
    size = sizeOf(value, key)
  } catch (error) {
    throw refusal('CACHE_INVALID_ARGUMENT', 'sizeOf threw; its error is the cause.', error)
  }
  if (typeof size === 'number' && size > 0) return Math.ceil(size)
  throw refusal(
    'CACHE_INVALID_ARGUMENT',
    `sizeOf must return a number of bytes greater than 0, not ${describeArgument(size)}.`,
  )
}

/** The error for a write that is not done. Users of the live view get it as it is. */
function refusal(code: CacheErrorCode, message: string, cause?: unknown): CacheError {
  return new CacheError({ code, message, cause, backend: NAME, operation: 'set', outcome: 'not-applied' })
}

function sweepOptions(sweep: InMemoryBackendOptions['sweep']): SweepOptions | undefined {
  if (sweep === false) return undefined
  if (sweep !== undefined && (typeof sweep !== 'object' || sweep === null)) {
    throw invalidArgument(`sweep must be { interval, batchSize } or false, not ${describeArgument(sweep)}.`)
  }
  const { interval = 10_000, batchSize = 1000 } = sweep ?? {}
  if (!(typeof interval === 'number' && interval > 0 && interval <= MAX_INTERVAL)) {
    throw invalidArgument(
      `sweep.interval must be a number of milliseconds between 0 and ${MAX_INTERVAL}, not ${describeArgument(interval)}.`,
    )
  }
  assertCount('sweep.batchSize', batchSize)
  return { interval, batchSize }
}

function assertCount(option: string, value: unknown): void {
  if (Number.isSafeInteger(value) && (value as number) > 0) return
  throw invalidArgument(`${option} must be a whole number greater than 0, not ${describeArgument(value)}.`)
}

function assertOneOf(option: string, value: unknown, allowed: readonly string[]): void {
  if (allowed.includes(value as string)) return
  throw invalidArgument(
    `${option} must be ${allowed.map(name => `'${name}'`).join(' or ')}, not ${describeArgument(value)}.`,
  )
}
