import type { LiveEntry, LiveStore } from './backend.ts'
import { hashOf, type Invalidations } from './invalidations.ts'
import type { Stored } from './record-store.ts'
import { keysOfTokens } from './tagged-records.ts'

/** What becomes invalid: keys as the store has them, or what carries one of the tags, or else all of a namespace. */
export interface Target {
  readonly keys?: readonly string[]
  readonly tags?: readonly string[]
}

/** Makes of a record that was read one that may lie in memory. */
export type Keep = (record: Stored) => LiveRecord | Promise<LiveRecord>

/** A record that a backend in this process can hold. */
export type LiveRecord = Stored &
  LiveEntry & {
    /** The value as one caller gets it. */
    answer(): Promise<unknown>
  }

/** What lies in the local backend. */
interface Kept extends LiveEntry {
  readonly record: LiveRecord
  /** When it ends, by a clock that is never set back: no value is served longer than `localTtl`. */
  readonly until: number
  readonly hashes: readonly number[]
  readonly since: number
}

/**
 * Values of one namespace that lie in this process, in front of a store that others share. It only keeps what was fresh
 * when it was read, and serves it until it ends, or is invalidated; all that changes anything asks the store.
 */
export class LocalTier {
  readonly #live: LiveStore
  readonly #path: string
  /** Of this namespace and those that it was made from. */
  readonly #namespaces: readonly number[]
  /** Milliseconds that a value stays at most. */
  readonly #lifetime: number
  readonly #invalidations: Invalidations
  readonly #keep: Keep

  constructor(live: LiveStore, path: string, lifetime: number, invalidations: Invalidations, keep: Keep) {
    this.#live = live
    this.#path = path
    this.#lifetime = lifetime
    this.#invalidations = invalidations
    this.#keep = keep
    const ends = Array.from(path.matchAll(/:/g), ({ index }) => index + 1)
    this.#namespaces = ends.map(end => hashOf(path.slice(0, end)))
  }

  /** A moment before a read of the store, for `keep`. */
  now(): number {
    return this.#invalidations.now()
  }

  find(key: string): LiveRecord | undefined {
    const entry = this.#live.get(key) as Partial<Kept> | undefined
    if (entry?.hashes === undefined) return undefined
    const { record, until, hashes, since } = entry as Kept
    return performance.now() < until && this.#invalidations.isCurrent(hashes, since) ? record : undefined
  }

  hit(key: string): Promise<unknown> | undefined {
    return this.find(key)?.answer()
  }

  /** Forgets a value that its reader has no use for. */
  drop(key: string): void {
    this.#invalidations.add([hashOf(this.#path + key)])
  }

  /** Keeps a fresh record. `since`: before the read of the store began. */
  async keep(key: string, record: Stored, since: number): Promise<void> {
    // A counter says nothing of its end, and what it counts changes all the time.
    if (record.kind !== 'entry') return
    const ends = record.freshUntil ?? record.expiresAt ?? Number.POSITIVE_INFINITY
    const life = Math.min(this.#lifetime, ends - Date.now())
    if (life <= 0) return
    const hashes = [key, ...keysOfTokens([...record.tags.keys()])].map(id => hashOf(this.#path + id))
    hashes.push(...this.#namespaces)
    const until = performance.now() + life
    const expiresAt = this.#live.now() + life
    void this.#invalidations.open()
    try {
      const kept = await this.#keep(record)
      const { value, size } = kept
      const entry: Kept = { value, size, encode: () => kept.encode(), expiresAt, record: kept, until, hashes, since }
      this.#live.set(key, entry)
    } catch {
      // Damaged, or larger than the local backend takes: then it is not kept.
    }
  }

  /** Runs a write of the store that makes values invalid, here and in other processes. */
  async invalidate<T>({ keys, tags }: Target, write: () => Promise<T>): Promise<T> {
    const ids = keys ?? (tags === undefined ? [''] : keysOfTokens(tags))
    const hashes = ids.map(id => hashOf(this.#path + id))
    this.#invalidations.add(hashes)
    try {
      return await write()
    } finally {
      // Also after a failure: it may have been written all the same.
      this.#invalidations.add(hashes)
      this.#invalidations.publish(hashes)
    }
  }
}
