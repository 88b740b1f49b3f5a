import { CacheError } from './errors.ts'
import { nodeCrypto, nodeZlib } from './node-modules.ts'

// What the cache stores under a key. An integer of which nothing more is to be said is stored as it is, `42`, which is
// also how backends store counters: `increment` goes on from it. Anything else is a line of ASCII and the payload:
//
//   ck1 5c2f70a1 entry ZmFrZSByYW5kb20u.1f 1767225600000 - json team%3A7=ZmFrZSByYW5kb20u.2
//   {"id":42,"name":"Ada"}
//
// The fields are: format and version, checksum (CRC-32 of the bytes from the next field to the end), kind, id,
// freshUntil, expiresAt, codec, and tags with their tokens; `-` for none. The checksum is for what damage would turn into
// another valid value. An integer has none, as no backend would keep it up.

const FORMAT = 'ck1'
const CHECKSUM_AT = FORMAT.length + 1
const CHECKED_FROM = CHECKSUM_AT + 9
const NEWLINE = 10
const INTEGER = /^(?:0|-?[1-9]\d*)$/
/** The length of -9007199254740991. */
const MAX_INTEGER_BYTES = 17
const NONE = '-'
const NO_TAGS: ReadonlyMap<string, string> = new Map()

/** A stored value, or the lease of whoever is loading it. */
export interface EntryRecord {
  readonly kind: 'entry' | 'lease'
  /** From {@link newId}. It makes the bytes of every record its own, so comparing bytes finds whether this is the one. */
  readonly id: string
  /** When the value becomes stale, in whole milliseconds since 1970. Default: never. */
  readonly freshUntil?: number | undefined
  /** When the record ends, in whole milliseconds since 1970. Default: never. */
  readonly expiresAt?: number | undefined
  /** The token that each tag had when the value was loaded. Tags are well-formed strings. */
  readonly tags: ReadonlyMap<string, string>
  /** The `id` of the codec that the payload is of. */
  readonly codec: string
  readonly payload: Uint8Array
}

/** A value for which {@link isInteger} holds, without metadata. */
export interface IntegerRecord {
  readonly kind: 'integer'
  readonly value: number
}

/** Whether a value without metadata is stored as it is: a safe integer, and not -0, which has no decimal form. */
export function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value) && !Object.is(value, -0)
}

/** The bytes to store. They share nothing with the payload. */
export function encodeRecord(record: EntryRecord | IntegerRecord): Uint8Array {
  if (record.kind === 'integer') return Buffer.from(String(record.value))
  const { kind, id, freshUntil = NONE, expiresAt = NONE, tags, codec, payload } = record
  const fields = `${kind} ${id} ${freshUntil} ${expiresAt} ${encodeURIComponent(codec)} ${formatTags(tags)}`
  const header = `${FORMAT} 00000000 ${fields}\n`
  const bytes = Buffer.allocUnsafe(header.length + payload.byteLength)
  bytes.write(header, 'latin1')
  bytes.set(payload, header.length)
  bytes.write(checksum(bytes), CHECKSUM_AT, 'latin1')
  return bytes
}

/**
 * Reads what {@link encodeRecord} gives, and the counters of backends. The payload is a part of `bytes`, not a copy.
 * @throws `CACHE_CORRUPT_ENTRY` for anything else, also a damaged record and one of a later version.
 */
export function decodeRecord(bytes: Uint8Array): EntryRecord | IntegerRecord {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = buffer.indexOf(NEWLINE)
  if (end === -1) return decodeInteger(buffer)
  const fields = buffer.toString('latin1', 0, end).split(' ')
  const [format = '', sum, kind, id = '', freshUntil = '', expiresAt = '', codec = '', tags = ''] = fields
  if (format !== FORMAT) throw corrupt(/^ck\d+$/.test(format) ? 'is of a later version' : 'is not ours')
  // Compared as text: as numbers, `a` and `A`, which are one bit apart, would be the same.
  if (sum !== checksum(buffer) || (kind !== 'entry' && kind !== 'lease')) throw corrupt('is damaged')
  try {
    return {
      kind,
      id,
      freshUntil: parseTime(freshUntil),
      expiresAt: parseTime(expiresAt),
      tags: parseTags(tags),
      codec: decodeURIComponent(codec),
      payload: buffer.subarray(end + 1),
    }
  } catch {
    throw corrupt('makes no sense')
  }
}

const checksum = (record: Buffer): string =>
  nodeZlib().crc32(record.subarray(CHECKED_FROM)).toString(16).padStart(8, '0')

function parseTime(text: string): number | undefined {
  if (text === NONE) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new TypeError('Not a time.')
  return Number(text)
}

const formatTags = (tags: ReadonlyMap<string, string>): string =>
  tags.size === 0 ? NONE : Array.from(tags, pair => pair.map(encodeURIComponent).join('=')).join('&')

function parseTags(text: string): ReadonlyMap<string, string> {
  if (text === NONE) return NO_TAGS
  const tags = new Map<string, string>()
  for (const pair of text.split('&')) {
    const [tag = '', token] = pair.split('=')
    if (token === undefined) throw new TypeError('A tag without a token.')
    tags.set(decodeURIComponent(tag), decodeURIComponent(token))
  }
  return tags
}

function decodeInteger(bytes: Buffer): IntegerRecord {
  const text = bytes.toString('latin1', 0, MAX_INTEGER_BYTES + 1)
  const value = Number(text)
  if (!INTEGER.test(text) || !Number.isSafeInteger(value)) throw corrupt('is not ours')
  return { kind: 'integer', value }
}

const corrupt = (reason: string): CacheError =>
  new CacheError({ code: 'CACHE_CORRUPT_ENTRY', message: `The stored record ${reason}.` })

let idPrefix: string | undefined
let idCount = 0

/**
 * An id for a record or a token for a tag, never given before: 96 random bits for this copy of this module (every
 * process and worker thread has its own), and a counter. As unique as 96 random bits for each, at a hundredth of the cost.
 */
export function newId(): string {
  idPrefix ??= nodeCrypto().randomBytes(12).toString('base64url')
  return `${idPrefix}.${(idCount++).toString(36)}`
}
