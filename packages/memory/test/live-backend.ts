import { BaseBackend, type LiveEntry, type LiveStore, type NewEntry, type StoredEntry } from '@cachekit/core'
import { InMemoryBackend, type InMemoryBackendOptions } from '@cachekit/memory'

interface Read extends StoredEntry {
  /** What the live view answered. */
  readonly entry: LiveEntry | StoredEntry
}

/** A backend that reaches the entries of another one through its live view alone, to prove that view by the kit. */
export class LiveBackend extends BaseBackend {
  readonly #memory: InMemoryBackend
  readonly #live: LiveStore

  constructor(options: InMemoryBackendOptions) {
    const memory = new InMemoryBackend(options)
    super('memory-live', memory.supports, options)
    this.#memory = memory
    this.#live = memory.live
  }

  protected async _get(id: string): Promise<Read | undefined> {
    const entry = this.#live.get(id)
    return entry && { value: encode(entry), expiresAt: entry.expiresAt, entry }
  }

  protected async _set(id: string, entry: NewEntry): Promise<void> {
    this.#live.set(id, liveEntry(entry))
  }

  protected async _swap(id: string, expected: StoredEntry | undefined, next: NewEntry | undefined): Promise<boolean> {
    return this.#live.swap(id, (expected as Read | undefined)?.entry, next && liveEntry(next))
  }

  protected async _clear(prefix: string): Promise<void> {
    for await (const id of this._keys(prefix)) this.#live.swap(id, this.#live.get(id), undefined)
  }

  protected override async *_keys(prefix: string): AsyncGenerator<string> {
    for await (const id of this.#memory.keys()) if (id.startsWith(prefix)) yield id
  }

  protected override _close(): Promise<void> {
    return this.#memory.close()
  }
}

function liveEntry({ value, expiresAt }: NewEntry): LiveEntry {
  return { value, expiresAt, size: value.byteLength, encode: () => new Uint8Array(value) }
}

function encode(entry: LiveEntry | StoredEntry): Uint8Array {
  return 'encode' in entry ? entry.encode() : entry.value
}
