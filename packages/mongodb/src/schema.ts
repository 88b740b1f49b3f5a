import { CacheError } from '@cachekit/core'
import type { Collection } from 'mongodb'
import { NAMESPACE_NOT_FOUND } from './errors.ts'

/** A stored entry. */
export interface EntryDocument {
  readonly _id: string
  /** The bytes, or the safe integer that they spell: that makes a counter. */
  readonly value: Uint8Array | number
  readonly expiresAt?: Date
  /** Of a `compareAndSet` under way whose two values do not fit into one command. */
  readonly mark?: string
  /** The last `increment` would have led out of the safe integers, and did nothing. */
  readonly uncounted?: true
}

const KEYS = { expiresAt: 1 } as const
const OPTIONS = { expireAfterSeconds: 0 } as const

/**
 * Makes sure that MongoDB removes expired documents, and that it compares ids by their bytes. Any number of processes may
 * do so at once: creating an index that is there does nothing.
 */
export async function ensureIndexes(collection: Collection<EntryDocument>, provision: boolean): Promise<void> {
  const name = collection.collectionName
  const indexes = await collection.indexes().catch((error: { code?: unknown }) => {
    if (error.code === NAMESPACE_NOT_FOUND) return []
    throw error
  })
  if (indexes.some(index => index.collation !== undefined)) {
    throw unfit(`The collection ${name} has a collation, by which different keys can be equal: use another one.`)
  }
  const existing = indexes.find(({ key }) => Object.keys(key).join() === 'expiresAt')
  if (existing === undefined) {
    if (provision) await collection.createIndex(KEYS, OPTIONS)
    else throw unfit(`The collection ${name} has no TTL index, and provision is false: ${command(name)}`)
  } else if (existing.expireAfterSeconds !== 0 || existing.partialFilterExpression !== undefined) {
    throw unfit(
      `The index ${existing.name} of the collection ${name} does not expire entries at expiresAt: use another ` +
        `collection, or db.${name}.dropIndex('${existing.name}') and ${command(name)}`,
    )
  }
}

function command(name: string): string {
  return `db.${name}.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 })`
}

function unfit(message: string): CacheError {
  return new CacheError({ code: 'CACHE_BACKEND_FAILED', message, outcome: 'not-applied' })
}
