import { Clock } from './clock.ts'
import { Deadlines } from './deadlines.ts'
import type { EvictionPolicy } from './eviction-policy.ts'
import { type Entry, Slot } from './slot.ts'
import { Space } from './space.ts'
import { Sweep, type SweepOptions } from './sweep.ts'

export interface MemoryStoreOptions {
  readonly policy: EvictionPolicy
  readonly maxEntries: number
  readonly maxBytes: number
  /** What an entry counts towards `maxBytes`: a whole number, at most `maxBytes`. Throws if it must not be stored. */
  readonly weigh: (entry: Entry, key: string) => number
  readonly sweep: SweepOptions | undefined
  readonly now: () => number
}

/**
 * The entries of all namespaces. They share the limits, so what is used in one may evict what is not used in another. An
 * expired entry is absent to every method, and leaves before any other is evicted.
 */
export class MemoryStore {
  readonly #spaces = new Map<string, Space>()
  readonly #deadlines = new Deadlines()
  readonly #policy: EvictionPolicy
  readonly #maxEntries: number
  readonly #maxBytes: number
  readonly #weigh: (entry: Entry, key: string) => number
  readonly #sweep: Sweep | undefined
  readonly #clock: Clock

  constructor(options: MemoryStoreOptions) {
    this.#policy = options.policy
    this.#maxEntries = options.maxEntries
    this.#maxBytes = options.maxBytes
    this.#weigh = options.weigh
    this.#clock = new Clock(options.now)
    if (options.sweep !== undefined) this.#sweep = new Sweep(this, options.sweep)
  }

  /** How many entries are there, expired ones that nobody has removed yet included. */
  get length(): number {
    return this.#policy.length
  }

  /** How many of them have a deadline. */
  get expiring(): number {
    return this.#deadlines.pending
  }

  /** The space of the namespace with this prefix; see there for how long it may be kept. */
  space(prefix: string): Space {
    return this.#spaces.get(prefix) ?? new Space(prefix, this.#spaces)
  }

  get(space: Space, key: string): Entry | undefined {
    const slot = space.slots.get(key)
    const entry = slot?.live(this.#clock)
    if (entry !== undefined) this.#policy.use(slot as Slot)
    return entry
  }

  /** Like `get`, but does not count as a use. */
  peek(space: Space, key: string): Entry | undefined {
    return space.slots.get(key)?.live(this.#clock)
  }

  set(space: Space, key: string, entry: Entry): void {
    const bytes = this.#weigh(entry, key)
    const slot = space.slots.get(key) ?? new Slot(space, key)
    if (slot.entry !== undefined) {
      this.#deadlines.cancel(slot)
      this.#policy.use(slot)
    }
    if (slot.entry === undefined || slot.bytes !== bytes) {
      // It steps aside while room is made, so as not to be the one that is evicted.
      const isNew = slot.queue === undefined
      if (!isNew) this.#policy.remove(slot)
      this.#makeRoom(bytes)
      slot.bytes = bytes
      this.#policy.add(slot)
      if (isNew) space.add(slot)
    }
    slot.entry = entry
    if (entry.expiresAt !== undefined) {
      this.#deadlines.add(slot, entry.expiresAt)
      this.#sweep?.start()
    }
  }

  /** Replaces or, without `next`, removes the entry if it is `expected`, the very object. */
  swap(space: Space, key: string, expected: Entry | undefined, next: Entry | undefined): boolean {
    if (this.peek(space, key) !== expected) return false
    if (next !== undefined) this.set(space, key, next)
    else if (expected !== undefined) this.#remove(space.slots.get(key) as Slot)
    return true
  }

  /** The keys of the namespace with this prefix that are there now, as far as they stay until the iteration gets to them. */
  *keys(prefix: string): Generator<string> {
    // A copy: a map that is written to while it is read shows a key again, and may never end.
    const keys: string[] = []
    for (const slot of this.space(prefix).slots.values()) if (slot.live(this.#clock) !== undefined) keys.push(slot.key)
    for (const key of keys) if (this.peek(this.space(prefix), key) !== undefined) yield key
  }

  /**
   * Removes what is there now in the namespaces whose prefix starts with this one. To be iterated to the end; other work may
   * go on at each step.
   */
  *clear(prefix: string): Generator<void> {
    for (const space of [...this.#spaces.values()]) {
      if (!space.prefix.startsWith(prefix)) continue
      // What is written meanwhile comes last in the map: without the count this might never end.
      let left = space.slots.size
      for (const slot of space.slots.values()) {
        if (left-- === 0) break
        this.#remove(slot)
        yield
      }
    }
  }

  /** Removes at most `limit` expired entries, and answers how many it were. */
  removeExpired(limit: number): number {
    for (let removed = 0; removed < limit; removed++) {
      const slot = this.#deadlines.expired(this.#clock.read)
      if (slot === undefined) return removed
      this.#remove(slot)
    }
    return limit
  }

  /** Stops the timer. */
  close(): void {
    this.#sweep?.stop()
  }

  #remove(slot: Slot): void {
    this.#policy.remove(slot)
    this.#deadlines.cancel(slot)
    slot.space.delete(slot)
    slot.entry = undefined
  }

  #makeRoom(bytes: number): void {
    while (this.#policy.length >= this.#maxEntries || this.#policy.bytes + bytes > this.#maxBytes) {
      if (this.removeExpired(1) > 0) continue
      const slot = this.#policy.evict()
      this.#deadlines.cancel(slot)
      slot.entry = undefined
    }
  }
}
