// What the cache stores for values of every kind. As a program, `write` prints the bytes, and `read` reads what another
// version of Node.js, or an earlier release, has printed, and prints the titles of what did not come back as it was.
import { isDeepStrictEqual } from 'node:util'
import { compressed, encrypted } from '../../src/codecs/index.ts'
import { hostileKeys, hostileTexts, hostileValues } from '../../src/conformance/corpora.ts'
import { type Codec, defaultCodec } from '../../src/index.ts'
import { decodeRecord, encodeRecord, isInteger } from '../../src/record.ts'
import { golden } from './golden.ts'

const old = { id: '2026-01', secret: Buffer.alloc(32, 1) }
const current = { id: '2026-02', secret: Buffer.alloc(32, 2) }
const KEY = 'the key'

/** Who writes, and who reads: after a rotation of keys the old one only reads. */
const codecs: Readonly<Record<string, readonly [writer: Codec, reader: Codec]>> = {
  plain: [defaultCodec, defaultCodec],
  compressed: [compressed(defaultCodec, { threshold: 1 }), compressed(defaultCodec)],
  encrypted: [encrypted(defaultCodec, [old]), encrypted(defaultCodec, [current, old])],
  both: [encrypted(compressed(defaultCodec), [current]), encrypted(compressed(defaultCodec), [current])],
}

/** Fields of records, with and without all that a record can have. */
const fields = [
  { id: 'AAAAAAAAAAAAAAAA.0', tags: new Map<string, string>() },
  {
    id: 'BBBBBBBBBBBBBBBB.1f',
    freshUntil: 1767225600000,
    expiresAt: 1767229200000,
    tags: new Map([
      ['team:7', 'CCCCCCCCCCCCCCCC.2'],
      ['ü = a&b\n', 'CCCCCCCCCCCCCCCC.3'],
    ]),
  },
] as const

interface StoredValue {
  readonly title: string
  write(): Promise<Uint8Array>
  /** Whether the bytes are those of this value. */
  reads(bytes: Uint8Array): Promise<boolean>
}

function entry(title: string, value: unknown, codecName: string, which: 0 | 1): StoredValue {
  const [writer, reader] = codecs[codecName] as readonly [Codec, Codec]
  return {
    title: `${title}, ${codecName}`,
    async write() {
      const payload = await writer.encode(value, KEY)
      return encodeRecord({ kind: 'entry', ...fields[which], codec: writer.id, payload })
    },
    async reads(bytes) {
      const record = decodeRecord(bytes)
      if (record?.kind !== 'entry') return false
      const { payload, kind: _, codec, ...rest } = record
      const value2 = await reader.decode(payload, KEY)
      const equal = same(value, value2) && codec === reader.id
      return equal && isDeepStrictEqual(rest, { freshUntil: undefined, expiresAt: undefined, ...fields[which] })
    },
  }
}

/** URLs and the order of keys are only seen in what is stored, an invalid date on Node.js 22 only there. */
function same(a: unknown, b: unknown): boolean {
  const stored = Buffer.from(defaultCodec.encode(a)).toString()
  const equal = isDeepStrictEqual(a, b) || stored.includes('{"~Date":null}')
  return equal && stored === Buffer.from(defaultCodec.encode(b)).toString()
}

function bare(kind: 'lease' | 'token', which: 0 | 1): StoredValue {
  const record = { kind, ...fields[which], codec: 'json', payload: Buffer.alloc(0) }
  return {
    title: `a ${kind}, ${which}`,
    write: async () => encodeRecord(record),
    reads: async bytes =>
      isDeepStrictEqual(decodeRecord(bytes), { freshUntil: undefined, expiresAt: undefined, ...record }),
  }
}

const integer = (value: number): StoredValue => ({
  title: `the integer ${value}`,
  write: async () => encodeRecord({ kind: 'integer', value }),
  reads: async bytes => isDeepStrictEqual(decodeRecord(bytes), { kind: 'integer', value }),
})

const everything = {
  text: 'to be or not to be, '.repeat(20),
  typed: [undefined, Number.NaN, -0, 10n, new Date(5), /a/g, new URL('http://a/'), new Set([1]), new Map([[{}, 1]])],
  bytes: [Buffer.from('a'), new Float64Array([1.5]), new DataView(new ArrayBuffer(2)), new ArrayBuffer(1)],
}

/** Every kind of record and codec: what each release has to read. */
export const kinds: readonly StoredValue[] = [
  ...golden.map(([value, stored]) => entry(stored, value, 'plain', 0)),
  ...Object.keys(codecs).flatMap(codec => [
    entry('everything', everything, codec, 0),
    entry('everything, with all fields', everything, codec, 1),
  ]),
  ...([0, 1] as const).flatMap(which => [bare('lease', which), bare('token', which)]),
  ...[0, -17, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER].filter(isInteger).map(integer),
]

/** What could be bent on its way. */
const hostile = [...new Set([...hostileKeys, ...hostileTexts])].map((text): [string, unknown] => [
  `${text}`,
  [text, { [text]: text }],
])
for (const { title, bytes } of hostileValues) {
  // Those of another realm come back as ones of this: default-codec.test.ts has them.
  if (bytes instanceof Uint8Array) hostile.push([title, bytes])
}

export const all: readonly StoredValue[] = [
  ...kinds,
  ...hostile.flatMap(([title, value]) => Object.keys(codecs).map(codec => entry(title, value, codec, 0))),
]

/** Base64, in the order of the values. */
export const write = (values: readonly StoredValue[]): Promise<string[]> =>
  Promise.all(values.map(async value => Buffer.from(await value.write()).toString('base64')))

/** The titles of what did not come back. */
export async function unread(values: readonly StoredValue[], stored: readonly string[]): Promise<string[]> {
  const failed: string[] = values.length === stored.length ? [] : ['the number of values']
  for (const [index, value] of values.entries()) {
    const bytes = Buffer.from(stored[index] ?? '', 'base64')
    if (!(await value.reads(bytes).catch(() => false))) failed.push(value.title)
  }
  return failed
}
