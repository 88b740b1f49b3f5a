import type { LiveEntry, LiveStore, StoredEntry } from '../../src/backend.ts'
import { toId } from '../../src/physical-id.ts'
import { ReferenceBackend } from './reference-backend.ts'

/** The reference backend with a live view: entries that came in by it are encoded when they are read as bytes. */
export class LiveBackend extends ReferenceBackend {
  protected readonly lively: Map<StoredEntry, LiveEntry> = new Map()

  /** The entry that is there, as the live view shows it. */
  protected seen(id: string): LiveEntry | StoredEntry | undefined {
    const record = this.records.get(id)
    if (record === undefined || (record.expiresAt !== undefined && record.expiresAt <= this.now())) return undefined
    return this.lively.get(record) ?? record
  }

  protected keep(id: string, entry: LiveEntry | undefined): void {
    if (entry === undefined) {
      this.records.delete(id)
      return
    }
    const record = { value: entry.encode(), expiresAt: entry.expiresAt }
    this.lively.set(record, entry)
    this.records.set(id, record)
  }

  protected override _live(prefix: string, assertOpen: () => void): LiveStore {
    return {
      isolation: 'share',
      now: this.now,
      get: key => {
        assertOpen()
        return this.seen(toId(prefix, key))
      },
      set: (key, entry) => {
        assertOpen()
        this.keep(toId(prefix, key), entry)
      },
      swap: (key, expected, next) => {
        assertOpen()
        const id = toId(prefix, key)
        if (this.seen(id) !== expected) return false
        this.keep(id, next)
        return true
      },
    }
  }
}
