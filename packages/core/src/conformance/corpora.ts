// Hostile keys, values, ttls and names: what broke other libraries, or could break a store. Exported for tests of your own.
import { createHash } from 'node:crypto'
import { runInNewContext } from 'node:vm'

const utf8 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const shared990 = 'k'.repeat(990)

/** Texts that mean something to one store or another: as a key, a value or a namespace they mean nothing. */
export const hostileTexts: readonly string[] = [
  "'; DROP TABLE cachekit; --",
  '"; DROP TABLE cachekit; --',
  "' OR '1'='1",
  'x\r\nflush_all\r\n',
  '*1\r\n$8\r\nFLUSHALL\r\n',
  'x 0 0 1\r\ny\r\n',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is data
  '${process.exit(1)}',
  '{"$gt": ""}',
  '$$NOW',
  '$expiresAt',
  '{{7*7}}',
  '; rm -rf /',
  '$(id)',
  '\\',
  '\\\\',
  '\\0',
  '$1',
  ':name',
  '?',
]

/** Pairwise different keys, all of them valid. */
export const hostileKeys: readonly string[] = [
  ...['a', 'A', 'b', '0', '-1', '1', '01', '007', '1.0', '1e3', 'null', 'undefined', 'true', 'NaN', '[object Object]'],
  ...['constructor', '__proto__', 'hasOwnProperty', 'toString', '__x__', '__name__'],
  ...[' ', '  ', 'a ', ' a', 'a  ', 'a b', '\t', '\n', '\r\n', 'a\n', 'a\nb', '\0', 'a\0', 'a\0b', '\x01', '\x1b'],
  ...['\x7f', '\x80'],
  ...['%', '%%', '%s', '%20', '%00', 'a%', '_', 'a_', '*', 'a*', '?', '[', '[a-z]', '{a}', '{', '}', '(', ')', '^'],
  ...['$', '|', '~', '~x'],
  ...['/', '//', '/a', 'a/', 'a/b', '.', '..', '../a', '\\', 'a\\b', '.a', 'a.b', 'a.b.c', '#', '##', '#a', '&', '='],
  ...['+', ',', ';', '!'],
  ...[':', '::', ':a', 'a:', 'a:b', 'a:b:c', '@', '@@', '@a', '@@a', '@a:', '@a:b', 'a@b', '@#', '@#a', '#@', '@:'],
  ...[':@', '@x:y'],
  ...["'", '"', '`', "a'b", 'a"b', '<', '>', '<a>', 'k=v', '-', '--', '---'],
  ...['é', 'e\u0301', 'É', 'ß', 'ss', 'ẞ', 'i', 'I', 'İ', 'ı', 'å', 'Å', '\u212b', 'ﬁ', 'fi', 'ａ', 'α', 'а', 'ä'],
  ...['ae', 'ñ', 'n\u0303'],
  ...['日本語', 'ключ', 'مفتاح', '\u202eabc', '\u200b', 'a\u200b', '\ufeff', 'a\ufeff', '\u2028', '\ufffd', '\uffff'],
  ...['\u0085', '\u00a0'],
  ...['😀', '👍', '👍🏽', '👩‍👩‍👧', '❤', '❤️', '\u{10ffff}', '\u{10000}', '\ue000'],
  ...hostileTexts.filter(text => !['\\', '?'].includes(text)),
  ...[249, 250, 251, 255, 256, 257, 300, 511, 512, 513, 1023, 1024, 1025, 1500, 1501, 2047, 2048, 2049].map(length =>
    'L'.repeat(length),
  ),
  ...['é'.repeat(124), 'é'.repeat(125), 'é'.repeat(126), '日'.repeat(83), '日'.repeat(84), '😀'.repeat(300)],
  ...['0'.repeat(10), '1'.repeat(10), '2'.repeat(10), 'x'.repeat(10)].map(end => shared990 + end),
  ...[`${shared990} `, `${shared990}  `, `${shared990}\0`, `@${shared990}`, `${shared990}K`],
  ...['a'.repeat(8192), `${'a'.repeat(8191)}b`, `b${'a'.repeat(8191)}`, 'é'.repeat(4096), `${'日'.repeat(2730)}xy`],
  ...['😀'.repeat(2048)],
]

/** What is no key: each is refused with `CACHE_INVALID_KEY`. */
export const invalidKeys: readonly unknown[] = [
  '',
  '\ud800',
  '\udc00',
  'a\ud83d',
  '\ude00\ud83d',
  'a'.repeat(8193),
  'é'.repeat(4097),
  '日'.repeat(2731),
  '😀'.repeat(2049),
  undefined,
  null,
  0,
  1,
  Number.NaN,
  true,
  1n,
  Symbol('a'),
  {},
  ['a'],
  () => 'a',
  Object('a'),
  Buffer.from('a'),
  { toString: () => 'a' },
]

/** Keys that hash to what a backend might store `key` under, where it has to hash it. */
export function forgedKeys(prefix: string, key: string): readonly string[] {
  const hashes = [key, prefix + key].flatMap(text =>
    (['sha256', 'sha1'] as const).flatMap(algorithm =>
      (['base64url', 'hex', 'base64'] as const).map(encoding => createHash(algorithm).update(text).digest(encoding)),
    ),
  )
  return hashes.flatMap(hash =>
    ['', '@#', '#', '@@#', '@', '~', 'sha256:', 'hash:', '%40%23', '@#:'].map(mark => mark + hash),
  )
}

export interface HostileValue {
  readonly title: string
  readonly bytes: Uint8Array
}

/** Values that a store, a driver or a codec could bend. */
export const hostileValues: readonly HostileValue[] = [
  { title: 'no bytes', bytes: new Uint8Array(0) },
  { title: 'a single NUL', bytes: Uint8Array.of(0) },
  { title: 'every byte', bytes: Uint8Array.from({ length: 256 }, (_, byte) => byte) },
  {
    title: 'every byte backwards, as a Buffer',
    bytes: Buffer.from(Array.from({ length: 256 }, (_, byte) => 255 - byte)),
  },
  { title: 'invalid UTF-8', bytes: Uint8Array.of(0xc3, 0x28, 0xff, 0xfe, 0x80, 0xed, 0xa0, 0x80, 0xf8) },
  { title: 'a UTF-8 byte order mark', bytes: Uint8Array.of(0xef, 0xbb, 0xbf, 0x61) },
  { title: 'a UTF-16 byte order mark', bytes: Uint8Array.of(0xff, 0xfe, 0x61, 0x00) },
  { title: 'the start of a gzip file', bytes: Uint8Array.of(0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3) },
  { title: 'the start of V8 data', bytes: Uint8Array.of(0xff, 0x0f, 0x6f, 0x7b, 0x00) },
  { title: 'a view into the middle of a larger buffer', bytes: Uint8Array.of(9, 9, 1, 2, 3, 9, 9).subarray(2, 5) },
  { title: 'a slice of the buffer pool', bytes: Buffer.from('xxabcxx').subarray(2, 5) },
  { title: 'bytes of another realm', bytes: runInNewContext('Uint8Array.of(1, 2, 3)') },
  { title: '100 spaces', bytes: utf8(' '.repeat(100)) },
  { title: 'a line end', bytes: utf8('a\r\n') },
  { title: 'the end of a memcached value', bytes: utf8('\r\nEND\r\n') },
  ...[
    'null',
    'undefined',
    'false',
    '0',
    '-1',
    '00',
    '1',
    '-0',
    '1.0',
    '1e3',
    '9007199254740993',
    'NaN',
    '""',
    '{}',
    '[]',
  ].map(text => ({ title: `the text ${text}`, bytes: utf8(text) })),
  ...[
    '{"value":1,"expiresAt":0}',
    '{"type":"Buffer","data":[1]}',
    '\\x6162',
    'base64:YQ==',
    'é',
    '😀',
    '__proto__',
  ].map(text => ({
    title: `the text ${text}`,
    bytes: utf8(text),
  })),
  ...hostileTexts.map(text => ({ title: `the text ${JSON.stringify(text)}`, bytes: utf8(text) })),
  ...[255, 256, 257, 1023, 1024, 1025, 4096, 65_535, 65_536, 65_537].map(length => ({
    title: `${length} bytes`,
    bytes: Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 0xff),
  })),
]

/** What is no value: each is refused with `CACHE_INVALID_ARGUMENT`. */
export const invalidValues: readonly unknown[] = [
  undefined,
  null,
  'text',
  1,
  true,
  {},
  [1, 2, 3],
  new ArrayBuffer(3),
  new DataView(new ArrayBuffer(3)),
  new Uint16Array(2),
  new Uint8ClampedArray(2),
  new Int8Array(2),
]

const DAY = 24 * 60 * 60 * 1000

/** Milliseconds, with the edges at which stores change their ways: whole seconds, memcached's 30 days, 32 bits of ms and of s. */
export const hostileTtls: readonly number[] = [
  ...[1, 2, 10, 499, 500, 501, 900, 999, 1000, 1001, 1500, 1999, 59_999, 60_000, 3_600_000, DAY],
  ...[30 * DAY - 1, 30 * DAY, 30 * DAY + 1, 30 * DAY + 1000, 60 * DAY, 365 * DAY],
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 10 * 365 * DAY],
]

/** What is no ttl: each is refused with `CACHE_INVALID_TTL`. */
export const invalidTtls: readonly unknown[] = [
  0,
  -0,
  -1,
  -0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  null,
  '1000',
  '1s',
  '',
  true,
  1000n,
  Symbol('a'),
  {},
  [1000],
  new Date(),
  () => 1000,
]

/** Pairwise different namespaces that must never touch one another. */
export const hostileNames: readonly string[] = [
  ...['a', 'a:b', 'A', 'a_', 'a%', 'a*', 'aa', 'ab', 'b', 'a?', 'a[b]', 'a ', ' a', 'a b', 'a.', 'a/', 'a/b', '.'],
  ...['..', '*', '?', '%', '_'],
  ...[':', '::', 'a:', ':a', '@', '@a', '@a:', 'a@', 'a@b', 'a:@b', '#', '@#', '~', '%3A', 'a%3Ab', '%40a', '%25'],
  ...['a%25'],
  ...['ä', 'a\u0308', 'é', 'e\u0301', 'ß', 'ss', '日本', '😀', '\0', 'a\0', 'a\n', 'a\r\nb', '\u0080', '__proto__'],
  ...['constructor', '1', '01'],
  ...["a'b", 'a"b', 'a`b', 'a\\', 'a\\b', '{a}', '$a', '^a', 'a|b', 'a-b', 'x'.repeat(200), `${'x'.repeat(199)}y`],
  ...['é'.repeat(100)],
  ...hostileTexts.filter(text => !['?', '\\'].includes(text)),
]

/** What is no namespace: each is refused with `CACHE_INVALID_ARGUMENT`. */
export const invalidNames: readonly unknown[] = [
  '',
  'a'.repeat(257),
  'é'.repeat(129),
  '\ud800',
  'a\udc00',
  null,
  0,
  1,
  true,
  {},
  ['a'],
  Symbol('a'),
  () => 'a',
]

/** Bytes that are no counter: `increment` refuses each with `CACHE_NOT_A_COUNTER`. */
export const invalidCounters: readonly string[] = [
  ...['', ' ', 'a', '1a', 'a1', '1.0', '1.5', '.5', '1e3', '0x10', '0b1', '+1', '-', '--1', '-0', '00', '01', '-01'],
  ...[' 1', '1 ', '1\n', '\n1'],
  ...['1\0', '\0', '1,000', '1_000', '1n', 'NaN', 'Infinity', 'null', 'true', '[]', '٣', '１', '−1', '"1"'],
  ...['x'.repeat(2000)],
]
