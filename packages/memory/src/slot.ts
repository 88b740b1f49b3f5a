import type { LiveEntry, StoredEntry } from '@cachekit/core'
import type { Deadline } from './deadlines.ts'
import type { Queue } from './queue.ts'
import type { Space } from './space.ts'

/** What is stored: a value itself, or bytes. */
export type Entry = LiveEntry | StoredEntry

/** The place of one key. What a hit touches comes first, to lie in one cache line. */
export class Slot {
  /** `undefined`: nothing is stored, only the key is remembered. */
  entry: Entry | undefined = undefined
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
}
