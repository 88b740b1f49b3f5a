import type { EvictionPolicy } from './eviction-policy.ts'
import { Queue } from './queue.ts'
import type { Slot } from './slot.ts'

/** Least recently used: the entry leaves that was not used for the longest time. */
export class Lru implements EvictionPolicy {
  readonly #queue = new Queue()

  get length(): number {
    return this.#queue.length
  }

  get bytes(): number {
    return this.#queue.bytes
  }

  add(slot: Slot): void {
    this.#queue.addFirst(slot)
  }

  use(slot: Slot): void {
    this.#queue.moveFirst(slot)
  }

  remove(slot: Slot): void {
    this.#queue.remove(slot)
  }

  evict(): Slot {
    const slot = this.#queue.last as Slot
    this.#queue.remove(slot)
    slot.space.delete(slot)
    return slot
  }
}
