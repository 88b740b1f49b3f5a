import { Slot } from './slot.ts'
import { Space } from './space.ts'

/**
 * Slots in a row, from first to last: a doubly linked list through the slots themselves, so that moving one takes no
 * lookup and no allocation. (A `Map` kept in order by delete and set is about ten times slower.)
 */
export class Queue {
  /** How many slots stand in it. */
  length = 0
  /** What their entries count together. */
  bytes = 0
  /** Closes the list to a ring: its `next` is the first slot, its `previous` the last. */
  readonly #end = new Slot(new Space('', new Map()), '')

  get last(): Slot | undefined {
    return this.length === 0 ? undefined : this.#end.previous
  }

  addFirst(slot: Slot): void {
    slot.queue = this
    this.length++
    this.bytes += slot.bytes
    this.#linkFirst(slot)
  }

  remove(slot: Slot): void {
    this.length--
    this.bytes -= slot.bytes
    slot.previous.next = slot.next
    slot.next.previous = slot.previous
    // A dead slot in the old generation that still pointed at young ones would keep them until the next full collection.
    slot.previous = slot
    slot.next = slot
  }

  moveFirst(slot: Slot): void {
    if (slot.previous === this.#end) return
    slot.previous.next = slot.next
    slot.next.previous = slot.previous
    this.#linkFirst(slot)
  }

  #linkFirst(slot: Slot): void {
    const end = this.#end
    slot.previous = end
    slot.next = end.next
    end.next.previous = slot
    end.next = slot
  }
}
