import { createHash, randomBytes } from 'node:crypto'
import { CacheError, type StoredEntry } from '@cachekit/core'

// Version 1 of the layout:
//
//   namespace     cachekit:@users:#                  its generation: 16 random characters
//   entry         cachekit:@users:42#R6T1p0vbgJ5Zk8xd   the tag behind # is that of the generations of all its namespaces
//   value         ck1 1764000000000\nbytes           version, deadline in ms since 1970 (0: none), the bytes themselves
//
// `clear` gives a namespace another generation: nobody looks under the keys of the old one again, and the server evicts
// them in time. That needs no list of keys, and no entry can outlive it, whoever writes it: it has the old tag.

/** What a record takes beside its value: our header, a key of 250 bytes and 60 bytes of the server's own. */
export const RECORD_OVERHEAD = 512

const MAX_KEY_BYTES = 250
const TAG_LENGTH = 16
const MAGIC = 'ck1 '
/** The longest header: the magic, 17 digits, the line feed. */
const MAX_HEADER_BYTES = 22

/** Seconds by which a record outlives its deadline at least: the server's clock ticks once a second, and may be ahead. */
const PADDING = 10
/** Longer times are points in time to Memcached: https://github.com/memcached/memcached/blob/master/doc/protocol.txt */
const MAX_RELATIVE = 30 * 24 * 60 * 60
/** Seconds by which our clock and the server's may differ before a record of more than 30 days is lost too early. */
const CLOCK_DIFFERENCE = 24 * 60 * 60
/** Memcached keeps points in time in 32 bits with a sign; what lies beyond does not expire there. */
const MAX_ABSOLUTE = 2 ** 31 - 1

/** The name under which an id is stored: printable ASCII, short enough for a tag behind it. */
export function recordName(id: string): string {
  const name = /[^\x21-\x24\x26-\x7e]/.test(id) ? id.replace(/[^\x21-\x24\x26-\x7e]+/g, encodeURIComponent) : id
  if (name.length + 1 + TAG_LENGTH <= MAX_KEY_BYTES) return name
  // No id begins with '#', so no user key can forge this.
  return `#${createHash('sha256').update(id).digest('base64url')}`
}

/** The key of an entry in the generation that has this tag. */
export function entryKey(name: string, tag: string): string {
  return `${name}#${tag}`
}

/** The keys of the generations of a namespace and of all that it lies in, outermost first. */
export function generationKeys(prefix: string): string[] {
  const keys: string[] = []
  for (let end = prefix.indexOf(':') + 1; end > 0; end = prefix.indexOf(':', end) + 1) {
    keys.push(generationKey(prefix.slice(0, end)))
  }
  return keys
}

/** The key of the generation of one namespace. Nothing behind the '#': no entry's key ends so. */
export function generationKey(prefix: string): string {
  return `${recordName(prefix)}#`
}

/** A generation that there never was before. */
export function newGeneration(): Buffer {
  return Buffer.from(randomBytes(12).toString('base64url'))
}

/** One tag for the generations of a namespace and of all that it lies in. */
export function tagOf(generations: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(generations)).digest('base64url').slice(0, TAG_LENGTH)
}

/** What is stored for an entry. */
export function encodeRecord({ value, expiresAt = 0 }: StoredEntry): Buffer {
  return Buffer.concat([Buffer.from(`${MAGIC}${Math.ceil(expiresAt)}\n`, 'latin1'), value])
}

/** @throws `CACHE_CORRUPT_ENTRY` for what `encodeRecord` did not make. */
export function decodeRecord(record: Buffer): StoredEntry {
  const end = record.subarray(0, MAX_HEADER_BYTES).indexOf('\n')
  const header = record.toString('latin1', 0, end)
  const expiresAt = /^ck1 \d+$/.test(header) ? Number(header.slice(MAGIC.length)) : Number.NaN
  if (end < 0 || Number.isNaN(expiresAt)) {
    throw new CacheError({
      code: 'CACHE_CORRUPT_ENTRY',
      message: 'The stored record was not written by CacheKit; set or delete replaces it.',
      outcome: 'not-applied',
    })
  }
  // A copy: the record is part of a block that holds what else came from the server.
  const value = Buffer.from(record.subarray(end + 1))
  return expiresAt === 0 ? { value } : { value, expiresAt }
}

/**
 * When the server may drop a record, as it wants to be told.
 *
 * @param ttl Milliseconds from now; `undefined`: no expiry.
 */
export function toExptime(ttl: number | undefined): number {
  if (ttl === undefined) return 0
  const seconds = Math.ceil(Math.max(ttl, 0) / 1000) + PADDING
  if (seconds <= MAX_RELATIVE) return seconds
  const absolute = Math.ceil(Date.now() / 1000) + seconds + CLOCK_DIFFERENCE
  return absolute <= MAX_ABSOLUTE ? absolute : 0
}
