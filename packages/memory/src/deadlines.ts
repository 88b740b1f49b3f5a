import type { Slot } from './slot.ts'

/** When the entry of a slot expires, in milliseconds since 1970. */
export interface Deadline {
  readonly at: number
  readonly slot: Slot
}

/** As many cancelled deadlines may always stay; clearing out fewer is not worth a pass. */
const SLACK = 64

/**
 * The deadlines of all entries in a binary heap, the next one on top, so that what has expired is found without looking
 * at anything else. A cancelled deadline (the entry was replaced or left) stays until it surfaces, or until such
 * leftovers are the majority and all go in one pass: so cancelling costs nothing, deadlines that come in order (one ttl,
 * time goes on) cost one comparison, and the heap is never larger than twice the number of entries.
 */
export class Deadlines {
  readonly #heap: Deadline[] = []
  #pending = 0

  /** How many entries have a deadline. */
  get pending(): number {
    return this.#pending
  }

  /** How many deadlines are kept, the cancelled ones included. */
  get length(): number {
    return this.#heap.length
  }

  /** The slot's entry, which had no deadline, expires at `at`. */
  add(slot: Slot, at: number): void {
    const deadline: Deadline = { at, slot }
    slot.deadline = deadline
    this.#pending++
    if (this.#heap.length >= 2 * this.#pending + SLACK) this.#compact()
    this.#rise(this.#heap.length, deadline)
  }

  /** The slot's entry has no deadline any more. */
  cancel(slot: Slot): void {
    if (slot.deadline === undefined) return
    slot.deadline = undefined
    this.#pending--
  }

  /** A slot whose entry has expired at `now`. */
  expired(now: () => number): Slot | undefined {
    if (this.#heap.length === 0) return undefined
    const time = now()
    for (let first = this.#heap[0]; first !== undefined && first.at <= time; first = this.#heap[0]) {
      if (first.slot.deadline === first) return first.slot
      this.#removeFirst()
    }
    return undefined
  }

  #removeFirst(): void {
    const last = this.#heap.pop() as Deadline
    if (this.#heap.length > 0) this.#sink(0, last)
  }

  #compact(): void {
    const heap = this.#heap
    let length = 0
    for (const deadline of heap) if (deadline.slot.deadline === deadline) heap[length++] = deadline
    heap.length = length
    for (let index = (length >> 1) - 1; index >= 0; index--) this.#sink(index, heap[index] as Deadline)
  }

  /** Puts the deadline at `index`, or above it as far as it belongs. */
  #rise(index: number, deadline: Deadline): void {
    const heap = this.#heap
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = heap[above] as Deadline
      if (parent.at <= deadline.at) break
      heap[index] = parent
      index = above
    }
    heap[index] = deadline
  }

  /** Puts the deadline at `index`, or below it as far as it belongs. */
  #sink(index: number, deadline: Deadline): void {
    const heap = this.#heap
    for (;;) {
      let below = 2 * index + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && (heap[below + 1] as Deadline).at < (heap[below] as Deadline).at) below++
      const child = heap[below] as Deadline
      if (child.at >= deadline.at) break
      heap[index] = child
      index = below
    }
    heap[index] = deadline
  }
}
