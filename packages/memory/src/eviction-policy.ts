import type { Slot } from './slot.ts'

/** Says who leaves when there is no more room. */
export interface EvictionPolicy {
  /** How many entries there are. */
  readonly length: number
  /** What they count together towards `maxBytes`. */
  readonly bytes: number
  /** Takes in a slot with an entry: a new slot, or one that it was told to remove. */
  add(slot: Slot): void
  /** The entry was read or replaced. */
  use(slot: Slot): void
  /** Lets go of a slot: it leaves, or will be added again with another entry. */
  remove(slot: Slot): void
  /**
   * Chooses one of the entries, there is at least one, and lets go of it. The slot leaves its space, unless the policy wants
   * to remember the key.
   */
  evict(): Slot
}
