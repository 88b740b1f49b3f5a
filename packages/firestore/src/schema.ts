// How an entry is kept: one document, whose name is the SHA-256 of the entry's physical id.
import { createHash } from 'node:crypto'
import { isUint8Array } from 'node:util/types'
import { CacheError, fitId, type NewEntry, type StoredEntry } from '@cachekit/core'
import type { Snapshot, Timestamp } from './client.ts'

/** The fields of a document. Plain JavaScript types only: a client with another copy of the driver takes no others. */
export interface Fields {
  /** The physical id: what `clear` and `keys` look for. Of a long one its prefix and a hash. */
  readonly id: string
  /** The whole physical id, where `id` is not that. */
  readonly longId?: string
  readonly value: Uint8Array
  /** The deadline, as a timestamp, which a TTL policy of Firestore understands. `null`: no expiry. */
  readonly expiresAt: Date | null
}

/** A record as it was read; the token for replacing it goes with it. */
export interface FirestoreEntry extends StoredEntry {
  readonly updateTime: Timestamp
}

// All sizes are from https://cloud.google.com/firestore/docs/storage-size and https://cloud.google.com/firestore/quotas.
const MAX_DOCUMENT_BYTES = 1024 * 1024
/** Of a longer string an index has the first 1,500 bytes only. */
const MAX_INDEXED_BYTES = 1499
/** Of the longest physical id of core: 900 bytes of namespaces, a `@`, and a key of 8 KiB. */
const MAX_ID_BYTES = 900 + 1 + 8192
/** Of what `fitId` makes of it: the namespaces, `@#`, and a hash in base64. */
const FITTED_ID_BYTES = 900 + 2 + 43
const NAME_BYTES = 64

/**
 * The largest value in bytes that fits into a document under the longest id: all the rest of such a document, by the
 * formula of Firestore, subtracted from 1 MiB.
 */
export function maxValueBytes(collection: string): number {
  const text = (bytes: number): number => bytes + 1
  const field = (name: string, bytes: number): number => text(name.length) + bytes
  const documentName = text(Buffer.byteLength(collection)) + text(NAME_BYTES) + 16
  const others =
    field('id', text(FITTED_ID_BYTES)) + field('longId', text(MAX_ID_BYTES)) + field('expiresAt', 8) + field('value', 0)
  return MAX_DOCUMENT_BYTES - documentName - 32 - others
}

/** Spreads neighbours over the whole collection, as Firestore likes it, and is never a reserved name (`__x__`). */
export function documentName(id: string): string {
  return createHash('sha256').update(id).digest('hex')
}

export function toFields(id: string, { value, expiresAt }: NewEntry): Fields {
  const fitted = fitId(id, MAX_INDEXED_BYTES)
  return {
    id: fitted,
    ...(fitted !== id && { longId: id }),
    value,
    expiresAt: toTimestamp(expiresAt),
  }
}

/** About how many bytes a request has for this entry, rather too many. */
export function messageBytes(id: string, entry?: NewEntry): number {
  return (entry?.value.byteLength ?? 0) + 2 * Buffer.byteLength(id) + 512
}

/** What changes when the entry of a document is replaced. */
export function toChange({ value, expiresAt }: NewEntry): Pick<Fields, 'value' | 'expiresAt'> {
  return { value, expiresAt: toTimestamp(expiresAt) }
}

/** `undefined` if there is no document. Throws `CACHE_CORRUPT_ENTRY` for one that CacheKit did not write. */
export function toEntry(snapshot: Snapshot): FirestoreEntry | undefined {
  if (!snapshot.exists) return undefined
  const value = snapshot.get('value')
  if (!isUint8Array(value)) throw corrupt()
  return { value, expiresAt: deadlineOf(snapshot), updateTime: snapshot.updateTime as Timestamp }
}

/** The deadline in a document that is there, in milliseconds since 1970. */
export function deadlineOf(snapshot: Snapshot): number | undefined {
  const expiresAt = snapshot.get('expiresAt') as Partial<Timestamp> | null | undefined
  if (expiresAt === null) return undefined
  if (typeof expiresAt?.toMillis !== 'function') throw corrupt()
  return expiresAt.toMillis()
}

/** The physical id of the entry in a document. */
export function idOf(snapshot: Snapshot): string {
  return (snapshot.get('longId') ?? snapshot.get('id')) as string
}

/** The bounds of the ids that start with `prefix`, which ends in a colon: a semicolon follows in the order of Firestore. */
export function idRange(prefix: string): { readonly from: string; readonly before: string } {
  return { from: prefix, before: `${prefix.slice(0, -1)};` }
}

function toTimestamp(expiresAt: number | undefined): Date | null {
  return expiresAt === undefined ? null : new Date(expiresAt)
}

function corrupt(): CacheError {
  return new CacheError({
    code: 'CACHE_CORRUPT_ENTRY',
    message: 'The document of this key has fields that CacheKit did not write; set or delete replaces it.',
  })
}
