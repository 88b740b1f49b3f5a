import type { StoredEntry } from '@cachekit/core'
import type { Entry } from './slot.ts'

/** An entry as the byte view sees it. Its bytes are made, or copied, when somebody looks at them. */
export class EncodedEntry implements StoredEntry {
  readonly entry: Entry

  constructor(entry: Entry) {
    this.entry = entry
  }

  get value(): Uint8Array {
    return new Uint8Array('encode' in this.entry ? this.entry.encode() : this.entry.value)
  }

  get expiresAt(): number | undefined {
    return this.entry.expiresAt
  }
}
