import { CacheError } from '@cachekit/core'
import type { Collection } from 'mongodb'
import type { EntryDocument } from './connection.ts'

const COMMAND = 'createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0, name: "cachekit_ttl" })'

/**
 * Makes sure that MongoDB removes expired documents. Any number of processes may do this at once: creating an index that
 * is there does nothing.
 */
export async function provideTtlIndex(collection: Collection<EntryDocument>, provision: boolean): Promise<void> {
  if (provision) {
    await collection.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0, name: 'cachekit_ttl' })
    return
  }
  const indexes = await collection.indexes().catch((error: { code?: number }) => {
    if (error.code === NAMESPACE_NOT_FOUND) return []
    throw error
  })
  if (indexes.some(({ key, expireAfterSeconds }) => key.expiresAt === 1 && expireAfterSeconds === 0)) return
  throw new CacheError({
    code: 'CACHE_BACKEND_FAILED',
    message: `The collection ${collection.collectionName} lacks the TTL index, and provision is false: db.${collection.collectionName}.${COMMAND}`,
  })
}

const NAMESPACE_NOT_FOUND = 26
