import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { CacheError } from './errors.ts'

// What the cache stores under a key. An integer that nothing more is to be said of is stored as it is, `42`, which is
// also how backends store counters: `increment` goes on from it. Anything else is a record, one line and the payload:
//
//   ck1 5c2f70a1 entry dGhpcyBpcyBub3Q.1f 1767225600000 - json [["team:7","c28gcmFuZG9tLi.2"]]
//   {"id":42,"name":"Ada"}
//
// The fields are format and version, checksum (CRC-32 of all that follows it and its space), kind, id, freshUntil,
// expiresAt, codec, and tags with their tokens; `-` where there is none. The checksum also notices what turns one valid
// payload into another. An integer has none: no backend could keep it up to date.

const FORMAT = 'ck1'
/** Where the part begins that the checksum is of. */
const FIELDS = 'ck1 00000000 '.length
const HEADER = /^ck1 [\da-f]{8} (entry|lease) (\S+) (-|\d+) (-|\d+) (\S+) (.+)$/s
const INTEGER = /^(?:0|-?[1-9]\d*)$/
const NEWLINE = 10
/** The length of the longest safe integer, -9007199254740991. */
const MAX_INTEGER_BYTES = 17
const NO_TAGS: ReadonlyMap<string, string> = new Map()

/** A stored value, or the lease of the process that is loading it. */
export interface EntryRecord {
  readonly kind: 'entry' | 'lease'
  /** Of {@link newId}: no two records have the same bytes, so comparing bytes tells whether it is this very record. */
  readonly id: string
  /** When the value becomes stale, in milliseconds since 1970. Default: never. */
  readonly freshUntil?: number | undefined
  /** When the record ends, in milliseconds since 1970. Default: never. */
  readonly expiresAt?: number | undefined
  /** The token of each tag when the value was loaded. */
  readonly tags: ReadonlyMap<string, string>
  /** The `id` of the codec whose bytes the payload is. */
  readonly codec: string
  readonly payload: Uint8Array
}

/** A number for which {@link isInteger} is true, stored without metadata. */
export interface IntegerRecord {
  readonly kind: 'integer'
  readonly value: number
}

/** Whether a value is stored as it is when it has no metadata. Not -0, which decimals do not have. */
export function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value) && !Object.is(value, -0)
}

export function encodeRecord(record: EntryRecord | IntegerRecord): Uint8Array {
  if (record.kind === 'integer') return Buffer.from(String(record.value))
  const { kind, id, freshUntil = '-', expiresAt = '-', tags, codec, payload } = record
  const tokens = tags.size === 0 ? '-' : JSON.stringify([...tags])
  const fields = `${kind} ${id} ${freshUntil} ${expiresAt} ${encodeURIComponent(codec)} ${tokens}\n`
  const checksum = toHex(crc32(payload, crc32(fields)))
  return Buffer.concat([Buffer.from(`${FORMAT} ${checksum} ${fields}`), payload])
}

/**
 * Reads what {@link encodeRecord} wrote, or a counter of a backend. The payload is part of `bytes`, not a copy.
 * @throws `CACHE_CORRUPT_ENTRY` for anything else, also for a record that was damaged or that a later version wrote.
 */
export function decodeRecord(bytes: Uint8Array): EntryRecord | IntegerRecord {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = buffer.indexOf(NEWLINE)
  if (end === -1) return decodeInteger(buffer)
  const header = buffer.toString('utf8', 0, end)
  if (!header.startsWith(`${FORMAT} `)) throw corrupt(/^ck\d+ /.test(header) ? 'is of a later version' : 'is not ours')
  // Compared as text: in hexadecimal a flipped bit can turn `a` into `A`, which is the same number.
  if (header.slice(FORMAT.length + 1, FIELDS - 1) !== toHex(crc32(buffer.subarray(FIELDS)))) throw corrupt('is damaged')
  try {
    return parseEntry(header, buffer.subarray(end + 1))
  } catch {
    throw corrupt('has fields that make no sense')
  }
}

function parseEntry(header: string, payload: Uint8Array): EntryRecord {
  const [, kind = '', id = '', freshUntil, expiresAt, codec = '', tags] = HEADER.exec(header) ?? []
  if (kind !== 'entry' && kind !== 'lease') throw new TypeError('No such kind.')
  return {
    kind,
    id,
    freshUntil: parseTime(freshUntil),
    expiresAt: parseTime(expiresAt),
    tags: tags === '-' ? NO_TAGS : parseTags(tags),
    codec: decodeURIComponent(codec),
    payload,
  }
}

const parseTime = (text: string | undefined): number | undefined => (text === '-' ? undefined : Number(text))

function parseTags(text: string | undefined): ReadonlyMap<string, string> {
  const pairs: unknown = JSON.parse(String(text))
  if (!Array.isArray(pairs) || !pairs.every(isPair)) {
    throw new TypeError('Not a list of tags and tokens.')
  }
  return new Map(pairs)
}

const isPair = (pair: unknown): boolean =>
  Array.isArray(pair) && pair.length === 2 && pair.every(text => typeof text === 'string')

function decodeInteger(bytes: Buffer): IntegerRecord {
  if (bytes.byteLength <= MAX_INTEGER_BYTES) {
    const text = bytes.toString('latin1')
    const value = Number(text)
    if (INTEGER.test(text) && Number.isSafeInteger(value)) return { kind: 'integer', value }
  }
  throw corrupt('is not ours')
}

const toHex = (checksum: number): string => checksum.toString(16).padStart(8, '0')

const corrupt = (reason: string): CacheError =>
  new CacheError({ code: 'CACHE_CORRUPT_ENTRY', message: `The stored record ${reason}.` })

let idPrefix: string | undefined
let idCount = 0

/**
 * An id or token that nobody has used: 96 random bits for this copy of the module (each process and worker thread has
 * its own), and a counter. Much cheaper than random bits for each, and as unique.
 */
export function newId(): string {
  idPrefix ??= randomBytes(12).toString('base64url')
  return `${idPrefix}.${(idCount++).toString(36)}`
}
