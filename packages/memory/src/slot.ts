import type { LiveEntry, StoredEntry } from '@cachekit/core'
import { ALWAYS, type Clock, UNIT } from './clock.ts'
import type { Deadline } from './deadlines.ts'
import type { Queue } from './queue.ts'
import type { Space } from './space.ts'

/** What is stored: a value itself, or bytes. */
export type Entry = LiveEntry | StoredEntry

/** The place of one key. What a hit touches comes first, to lie in one cache line. */
export class Slot {
  #entry: Entry | undefined = undefined
  /**
   * Until when the entry has not expired for sure, rounded down to whole units since 1970. Its deadline itself lies in a
   * number of its own behind the entry: to fetch that would be a tenth of the time of a hit.
   */
  #safeUntil = ALWAYS
  previous: Slot = this
  next: Slot = this
  /** How often the entry was used lately, as far as the policy counts. */
  frequency = 0
  /** What the entry counts towards `maxBytes`. */
  bytes = 0
  /** The queue that the slot stands in or, if in none, stood in last. */
  queue: Queue | undefined = undefined
  /** When the entry expires, if it does. */
  deadline: Deadline | undefined = undefined
  readonly key: string
  readonly space: Space

  constructor(space: Space, key: string) {
    this.space = space
    this.key = key
  }

  /** `undefined`: nothing is stored, only the key is remembered. */
  get entry(): Entry | undefined {
    return this.#entry
  }

  set entry(entry: Entry | undefined) {
    this.#entry = entry
    if (entry?.expiresAt === undefined) this.#safeUntil = ALWAYS
    else this.#safeUntil = Math.min(Math.floor(entry.expiresAt / UNIT), ALWAYS - 1)
  }

  /** The entry, unless it has expired by this clock. */
  live(clock: Clock): Entry | undefined {
    if (this.#safeUntil >= clock.soon) return this.#entry
    const time = clock.now()
    if (time < this.#safeUntil * UNIT) return this.#entry
    const expiresAt = this.#entry?.expiresAt
    return expiresAt !== undefined && expiresAt <= time ? undefined : this.#entry
  }
}
