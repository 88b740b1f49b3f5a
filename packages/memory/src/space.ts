import type { Slot } from './slot.ts'

/**
 * The slots of one namespace under the keys as users write them: a lookup with the caller's own string is ten times
 * faster than one with a string that was just put together from prefix and key.
 *
 * A space is listed while it holds slots, so that a namespace which was used once leaves nothing behind. Whoever keeps a
 * space and finds it empty looks for the listed one: there may be another by now.
 */
export class Space {
  readonly prefix: string
  readonly slots: Map<string, Slot> = new Map()
  readonly #listed: Map<string, Space>

  /** @param listed All spaces that hold slots, by prefix. */
  constructor(prefix: string, listed: Map<string, Space>) {
    this.prefix = prefix
    this.#listed = listed
  }

  add(slot: Slot): void {
    this.slots.set(slot.key, slot)
    if (this.slots.size === 1) this.#listed.set(this.prefix, this)
  }

  delete(slot: Slot): void {
    this.slots.delete(slot.key)
    if (this.slots.size === 0) this.#listed.delete(this.prefix)
  }
}
