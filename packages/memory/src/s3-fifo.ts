import type { EvictionPolicy } from './eviction-policy.ts'
import { Queue } from './queue.ts'
import type { Slot } from './slot.ts'

/** The part of the room where new entries have to prove themselves. */
const SMALL_SHARE = 0.1
const MAX_FREQUENCY = 3

/**
 * S3-FIFO (J. Yang, Y. Zhang, Z. Qiu, Y. Yue, R. Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023). New
 * entries pass through a small queue and leave early if nobody uses them there; one that was used moves on to the main
 * queue, and so does one that comes back soon after it left. So a scan over many keys does not wash out the others.
 */
export class S3Fifo implements EvictionPolicy {
  readonly #small = new Queue()
  readonly #main = new Queue()
  /** The slots, now without an entry, that left the small queue last. */
  readonly #ghosts = new Queue()
  readonly #smallEntries: number
  readonly #smallBytes: number
  readonly #maxGhosts: number

  constructor(maxEntries: number, maxBytes: number) {
    this.#smallEntries = SMALL_SHARE * maxEntries
    this.#smallBytes = SMALL_SHARE * maxBytes
    this.#maxGhosts = (1 - SMALL_SHARE) * maxEntries
  }

  get length(): number {
    return this.#small.length + this.#main.length
  }

  get bytes(): number {
    return this.#small.bytes + this.#main.bytes
  }

  add(slot: Slot): void {
    // Who was here before comes back soon after it left, or was replaced, which is a use.
    const queue = slot.queue === undefined ? this.#small : this.#main
    queue.addFirst(slot)
  }

  use(slot: Slot): void {
    if (slot.frequency < MAX_FREQUENCY) slot.frequency++
  }

  remove(slot: Slot): void {
    slot.queue?.remove(slot)
  }

  evict(): Slot {
    for (;;) {
      const queue = this.#mainIsDue() ? this.#main : this.#small
      const slot = queue.last as Slot
      queue.remove(slot)
      if (slot.frequency === 0) {
        if (queue === this.#small) this.#remember(slot)
        else slot.space.delete(slot)
        return slot
      }
      // It gets another round: for the first use at all in the main queue, there one for each use.
      slot.frequency = queue === this.#small ? 0 : slot.frequency - 1
      this.#main.addFirst(slot)
    }
  }

  #mainIsDue(): boolean {
    if (this.#main.length === 0) return false
    return this.#small.length < this.#smallEntries && this.#small.bytes < this.#smallBytes
  }

  #remember(slot: Slot): void {
    this.#ghosts.addFirst(slot)
    if (this.#ghosts.length <= this.#maxGhosts) return
    const oldest = this.#ghosts.last as Slot
    this.#ghosts.remove(oldest)
    oldest.space.delete(oldest)
  }
}
