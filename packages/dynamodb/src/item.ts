import { hash } from 'node:crypto'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { CacheError, fitId, type NewEntry, type StoredEntry, toCounter } from '@cachekit/core'

// How an entry is kept, version 1:
//
//   pk         S  root namespace '#' shard            'cachekit#07'
//   sk         S  namespaces below the root, and key  '@users:42'
//   value      B  the bytes; N if they are a safe integer in decimal, so that UpdateItem can add to it
//   expiresAt  N  deadline in milliseconds since 1970; absent: no expiry
//   ttl        N  when DynamoDB may delete the item, in seconds since 1970
//   id         S  the whole id, where sk has only its hash
//
// The shards spread a namespace over the partitions of the table, and `clear` finds it without reading anything else.

export type Item = Record<string, AttributeValue>
/** Of an item: partition key and sort key. */
export type Key = { readonly pk: { S: string }; readonly sk: { S: string } }

export const SHARDS: readonly number[] = Array.from({ length: 32 }, (_, shard) => shard)

/** "The maximum item size in DynamoDB is 400 KB, which includes both attribute name and value lengths." */
export const MAX_ITEM_BYTES: number = 400 * 1024

/** The longest sort key that DynamoDB takes, in bytes. A longer id is hashed. */
const MAX_ID_BYTES = 1024

/**
 * DynamoDB deletes an expired item on its own, by its own clock. An hour later than necessary, so that no clock of a
 * caller can be so slow that it would be too early.
 */
const TTL_PADDING = 3600

/** Where the entry of this id is kept. */
export function keyOf(id: string): Key {
  const fitted = fitId(id, MAX_ID_BYTES)
  const colon = fitted.indexOf(':')
  const sk = fitted.slice(colon + 1)
  const shard = (hash('sha256', sk, 'buffer')[0] as number) % SHARDS.length
  return { pk: { S: partition(fitted.slice(0, colon), shard) }, sk: { S: sk } }
}

export function partition(root: string, shard: number): string {
  return `${root}#${String(shard).padStart(2, '0')}`
}

/** @throws `CACHE_VALUE_TOO_LARGE` if DynamoDB would not take the item. */
export function itemOf(id: string, { value, expiresAt }: NewEntry, now: number): Item {
  const item: Item = {
    ...keyOf(id),
    value: attributeOf(value),
    ...(expiresAt !== undefined && deadlineOf(expiresAt, now)),
    ...(Buffer.byteLength(id) > MAX_ID_BYTES && { id: { S: id } }),
  }
  const size = sizeOf(item)
  if (size > MAX_ITEM_BYTES) {
    throw new CacheError({
      code: 'CACHE_VALUE_TOO_LARGE',
      message: `The entry would take ${size} bytes with its key; an item of DynamoDB has at most ${MAX_ITEM_BYTES}.`,
    })
  }
  return item
}

/** The attributes of a deadline. `now` is the caller's clock, which decides; DynamoDB deletes by the time of day. */
export function deadlineOf(expiresAt: number, now: number): { expiresAt: AttributeValue; ttl: AttributeValue } {
  const seconds = Math.ceil((expiresAt - now + Date.now()) / 1000) + TTL_PADDING
  return { expiresAt: { N: String(expiresAt) }, ttl: { N: String(seconds) } }
}

/** The same bytes always make the same attribute, so that DynamoDB can compare them. */
export function attributeOf(value: Uint8Array): AttributeValue {
  const counter = toCounter(value)
  return counter === undefined ? { B: value } : { N: String(counter) }
}

/** @throws `CACHE_CORRUPT_ENTRY` for an item that CacheKit did not write. */
export function entryOf(item: Item): StoredEntry {
  const { value, expiresAt } = item
  const bytes = value?.B ?? (Number.isSafeInteger(Number(value?.N)) ? Buffer.from(String(Number(value?.N))) : undefined)
  const deadline = expiresAt === undefined ? undefined : Number(expiresAt.N)
  if (bytes === undefined || Number.isNaN(deadline)) {
    throw new CacheError({
      code: 'CACHE_CORRUPT_ENTRY',
      message: 'this item of the table was not written by CacheKit; set or delete replaces it',
    })
  }
  return { value: bytes, expiresAt: deadline }
}

/**
 * Bytes that DynamoDB counts for an item: names and values; a number takes one for two digits and one more.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
 */
export function sizeOf(item: Item): number {
  let size = 0
  for (const [name, { S, N, B }] of Object.entries(item)) {
    size += Buffer.byteLength(name)
    if (S !== undefined) size += Buffer.byteLength(S)
    if (N !== undefined) size += Math.ceil(N.replace('-', '').length / 2) + 1
    if (B !== undefined) size += B.byteLength
  }
  return size
}
