import type { StoredEntry } from './backend.ts'
import { BaseBackend } from './base-backend.ts'

/** Stores nothing: what a cache with `backend: undefined` stands on. */
export class NoBackend extends BaseBackend {
  constructor() {
    super('none', {
      maxValueBytes: Number.MAX_SAFE_INTEGER,
      clock: 'caller',
      persistent: false,
      shared: false,
      evicts: true,
      iteration: true,
    })
  }

  protected async _get(): Promise<StoredEntry | undefined> {
    return undefined
  }

  protected async _set(): Promise<void> {}

  protected async _swap(): Promise<boolean> {
    return true
  }

  protected async _clear(): Promise<void> {}

  protected override async *_keys(): AsyncGenerator<string> {}
}
