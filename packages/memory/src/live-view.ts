import type { LiveEntry, LiveStore } from '@cachekit/core'
import type { MemoryStore } from './memory-store.ts'
import type { Entry } from './slot.ts'
import type { Space } from './space.ts'

/** The entries of one namespace, as the cache sees them. */
export class LiveView implements LiveStore {
  readonly isolation: 'clone' | 'share'
  readonly now: () => number
  readonly #store: MemoryStore
  readonly #assertOpen: () => void
  #kept: Space

  constructor(
    store: MemoryStore,
    prefix: string,
    options: { isolation: 'clone' | 'share'; now: () => number; assertOpen: () => void },
  ) {
    this.isolation = options.isolation
    this.now = options.now
    this.#store = store
    this.#assertOpen = options.assertOpen
    this.#kept = store.space(prefix)
  }

  get(key: string): Entry | undefined {
    this.#assertOpen()
    const entry = this.#store.get(this.#kept, key)
    return entry === undefined && this.#kept.slots.size === 0 ? this.#store.get(this.#space, key) : entry
  }

  set(key: string, entry: LiveEntry): void {
    this.#assertOpen()
    this.#store.set(this.#space, key, entry)
  }

  swap(key: string, expected: Entry | undefined, next: LiveEntry | undefined): boolean {
    this.#assertOpen()
    return this.#store.swap(this.#space, key, expected, next)
  }

  get #space(): Space {
    if (this.#kept.slots.size === 0) this.#kept = this.#store.space(this.#kept.prefix)
    return this.#kept
  }
}
