import { setImmediate as turn } from 'node:timers/promises'
import type { BackendSupports, NewEntry, StoredEntry } from '../../src/backend.ts'
import { type BackendOptions, BaseBackend } from '../../src/base-backend.ts'
import type { Progress } from '../../src/lifecycle.ts'

/** What several reference backends share: the store behind the network. */
export class ReferenceStore {
  readonly records: Map<string, StoredEntry> = new Map()
}

export type ReferenceOptions = BackendOptions & {
  readonly store?: ReferenceStore
  readonly supports?: Partial<BackendSupports>
}

export const SUPPORTS: BackendSupports = {
  maxValueBytes: 2_000_000,
  clock: 'caller',
  persistent: false,
  shared: true,
  evicts: false,
  iteration: true,
}

/** A correct backend: mutants are small edits of it. Its store is as far away as a network makes it. */
export class ReferenceBackend extends BaseBackend {
  protected readonly store: ReferenceStore

  constructor({ store = new ReferenceStore(), supports, ...options }: ReferenceOptions = {}) {
    super('reference', { ...SUPPORTS, ...supports }, options)
    this.store = store
  }

  protected get records(): Map<string, StoredEntry> {
    return this.store.records
  }

  /** A way to the store or back: others get their turns meanwhile. */
  protected async travel(): Promise<void> {
    if (Math.random() < 0.5) await turn()
  }

  /** What is sent to the store for an id. */
  protected place(id: string): string {
    return id
  }

  /** The record under `id` as it is now, at the store. */
  protected look(id: string): StoredEntry | undefined {
    const record = this.records.get(this.place(id))
    if (record === undefined || this.supports.clock === 'caller') return record
    return record.expiresAt === undefined || record.expiresAt > Date.now() ? record : undefined
  }

  /** Stores a record now, at the store. */
  protected write(id: string, { value, ttl, expiresAt }: NewEntry): void {
    const deadline = this.supports.clock === 'store' && ttl !== undefined ? Date.now() + ttl : expiresAt
    this.records.set(this.place(id), { value: new Uint8Array(value), expiresAt: deadline })
  }

  protected async _get(id: string): Promise<StoredEntry | undefined> {
    await this.travel()
    const record = this.look(id)
    const answer = record && { ...record, value: new Uint8Array(record.value) }
    await this.travel()
    return answer
  }

  protected override async _getEntry(id: string): Promise<{ value: Uint8Array; ttl: number | undefined } | undefined> {
    if (this.supports.clock === 'caller') return super._getEntry(id)
    const entry = await this._get(id)
    const ttl = entry?.expiresAt === undefined ? undefined : entry.expiresAt - Date.now()
    return entry && (ttl === undefined || ttl > 0) ? { value: entry.value, ttl } : undefined
  }

  protected async _set(id: string, entry: NewEntry): Promise<void> {
    await this.travel()
    this.write(id, entry)
    await this.travel()
  }

  protected async _swap(id: string, expected: StoredEntry | undefined, next: NewEntry | undefined): Promise<boolean> {
    await this.travel()
    const swapped = same(this.look(id), expected)
    if (swapped && next !== undefined) this.write(id, next)
    if (swapped && next === undefined) this.records.delete(this.place(id))
    await this.travel()
    return swapped
  }

  protected async _clear(prefix: string, _progress: Progress): Promise<void> {
    await this.travel()
    for (const id of [...this.records.keys()]) if (id.startsWith(this.place(prefix))) this.records.delete(id)
    await this.travel()
  }

  protected override async *_keys(prefix: string): AsyncGenerator<string> {
    await this.travel()
    for (const id of [...this.records.keys()]) {
      const expiresAt = this.look(id)?.expiresAt
      const now = this.supports.clock === 'caller' ? this.now() : Date.now()
      if (id.startsWith(prefix) && this.look(id) && (expiresAt === undefined || expiresAt > now)) yield id
    }
  }
}

export function same(a: StoredEntry | undefined, b: StoredEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.expiresAt === b.expiresAt && Buffer.compare(a.value, b.value) === 0
}
