import { DECIMAL } from './counter.ts'

// What the cache stores under a key. An integer of which nothing more is to be said is stored as it is, `42`, which is
// also how backends store counters: `increment` goes on from it. Anything else is a line of ASCII and the payload:
//
//   ck1 5c2f70a1 entry ZmFrZSByYW5kb20u.1f 1767225600000 - json team%3A7=ZmFrZSByYW5kb20u.2
//   {"id":42,"name":"Ada"}
//
// The fields are: format and version, checksum (CRC-32 of the bytes from the next field to the end), kind, id,
// freshUntil, expiresAt, codec, and tags with their tokens; `-` for none. The checksum is for what damage would turn into
// another valid value. An integer has none, as no backend would keep it up.

const CHECKSUM_AT = 4
const CHECKED_FROM = 13
const NEWLINE = 10
/** The length of -9007199254740991. */
const MAX_INTEGER_BYTES = 17
const NONE = '-'
/** Neither a tag nor its token. */
export const NO_TAGS: ReadonlyMap<string, never> = new Map<string, never>()

/** A stored value, the lease of whoever is loading it, or the token of a tag, which is an id and nothing else. */
export interface EntryRecord {
  readonly kind: 'entry' | 'lease' | 'token'
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
  const header = `ck1 00000000 ${fields}\n`
  const bytes = Buffer.allocUnsafe(header.length + payload.byteLength)
  bytes.write(header, 'latin1')
  bytes.set(payload, header.length)
  bytes.write(checksum(bytes), CHECKSUM_AT, 'latin1')
  return bytes
}

/**
 * Reads what {@link encodeRecord} gives, and the counters of backends. The payload is a part of `bytes`, not a copy.
 * `undefined` for anything else, also a damaged record and one of a later version.
 */
export function decodeRecord(bytes: Uint8Array): EntryRecord | IntegerRecord | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = buffer.indexOf(NEWLINE)
  if (end === -1) {
    const text = buffer.toString('latin1', 0, MAX_INTEGER_BYTES + 1)
    const value = Number(text)
    return DECIMAL.test(text) && Number.isSafeInteger(value) ? { kind: 'integer', value } : undefined
  }
  const header = HEADER.exec(buffer.toString('latin1', 0, end))
  if (header === null) return undefined
  const [, sum, kind, id, freshUntil, expiresAt, codec, tags] = header as unknown as Header
  // Compared as text: as numbers, `a` and `A`, which are one bit apart, would be the same.
  if (sum !== checksum(buffer)) return undefined
  try {
    return {
      kind,
      id,
      freshUntil: parseTime(freshUntil),
      expiresAt: parseTime(expiresAt),
      tags: tags === NONE ? NO_TAGS : new Map(tags.split('&').map(parseTag)),
      codec: decodeURIComponent(codec),
      payload: buffer.subarray(end + 1),
    }
  } catch {
    // What is not percent-encoded as it should be.
    return undefined
  }
}

const HEADER =
  /^ck1 ([\da-f]{8}) (entry|lease|token) ([^ ]+) (-|\d{1,15}) (-|\d{1,15}) ([^ ]+) (-|[^ =&]*=[^ =&]+(?:&[^ =&]*=[^ =&]+)*)$/
type Header = [string, string, EntryRecord['kind'], string, string, string, string, string]

// Loaded when it is first used, which a cache in memory never does: it takes longer than all of core.
let crc32: typeof import('node:zlib').crc32 | undefined

function checksum(record: Buffer): string {
  crc32 ??= process.getBuiltinModule('node:zlib').crc32
  return crc32(record.subarray(CHECKED_FROM)).toString(16).padStart(8, '0')
}

const parseTime = (text: string): number | undefined => (text === NONE ? undefined : Number(text))

const formatTags = (tags: ReadonlyMap<string, string>): string =>
  tags.size === 0 ? NONE : Array.from(tags, pair => pair.map(encodeURIComponent).join('=')).join('&')

const parseTag = (pair: string): [tag: string, token: string] =>
  pair.split('=').map(decodeURIComponent) as [string, string]

let idPrefix: string | undefined
let idCount = 0

/**
 * An id for a record or a token for a tag, never given before: 96 random bits for this copy of this module (every
 * process and worker thread has its own), and a counter. As unique as 96 random bits for each, at a hundredth of the cost.
 */
export function newId(): string {
  idPrefix ??= process.getBuiltinModule('node:crypto').randomBytes(12).toString('base64url')
  return `${idPrefix}.${(idCount++).toString(36)}`
}
