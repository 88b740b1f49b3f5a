import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { decodeRecord, type EntryRecord, encodeRecord, isInteger, newId } from '../src/record.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

const entry: EntryRecord = {
  kind: 'entry',
  id: 'AAAAAAAAAAAAAAAA.0',
  freshUntil: undefined,
  expiresAt: undefined,
  tags: new Map(),
  codec: 'json',
  payload: Buffer.from('{"id":42,"name":"Ada"}'),
}

const tagged: EntryRecord = {
  kind: 'entry',
  id: 'BBBBBBBBBBBBBBBB.1f',
  freshUntil: 1767225600000,
  expiresAt: 1767229200000,
  tags: new Map([
    ['team:7', 'CCCCCCCCCCCCCCCC.2'],
    ['ü = a&b\n', 'CCCCCCCCCCCCCCCC.3'],
  ]),
  codec: 'aes-256-gcm(br(json))',
  payload: Buffer.from([0, 10, 255, 32, 10]),
}

const lease: EntryRecord = { ...entry, kind: 'lease', payload: Buffer.alloc(0) }

/** What is stored for each record. Later versions must read every one of these. */
const golden: readonly (readonly [record: EntryRecord, stored: string])[] = [
  [entry, 'ck1 496dd4e0 entry AAAAAAAAAAAAAAAA.0 - - json -\n{"id":42,"name":"Ada"}'],
  [
    tagged,
    'ck1 74ce0411 entry BBBBBBBBBBBBBBBB.1f 1767225600000 1767229200000 aes-256-gcm(br(json)) ' +
      'team%3A7=CCCCCCCCCCCCCCCC.2&%C3%BC%20%3D%20a%26b%0A=CCCCCCCCCCCCCCCC.3\n\x00\n\xff \n',
  ],
  [lease, 'ck1 a053bc0f lease AAAAAAAAAAAAAAAA.0 - - json -\n'],
]

function expectCorrupt(bytes: Uint8Array): void {
  if (decodeRecord(bytes) !== undefined) throw new Error(`read as a record: ${JSON.stringify(text(bytes))}`)
}

describe('an integer', () => {
  test.each([
    [0, '0'],
    [5, '5'],
    [-17, '-17'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
    [Number.MIN_SAFE_INTEGER, '-9007199254740991'],
  ])('%d is stored as it is', (value, stored) => {
    expect(isInteger(value)).toBe(true)
    expect(text(encodeRecord({ kind: 'integer', value }))).toBe(stored)
    expect(decodeRecord(Buffer.from(stored))).toEqual({ kind: 'integer', value })
  })

  test.each([-0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1e21, '5', 5n, null])('%p is none', value => {
    expect(isInteger(value)).toBe(false)
  })

  test.each(['-0', '007', '+1', ' 1', '1 ', '1\n', '1.0', '1e3', '0x1', '-', '9007199254740992', '1'.repeat(1000)])(
    '%p is none as bytes',
    stored => {
      expectCorrupt(Buffer.from(stored))
    },
  )
})

describe('a record', () => {
  for (const [record, stored] of golden) {
    test(`is stored as ${JSON.stringify(stored)}`, () => {
      expect(text(encodeRecord(record))).toBe(stored)
      expect(decodeRecord(Buffer.from(stored, 'latin1'))).toEqual(record)
    })
  }

  test('is read also from a part of a larger buffer', () => {
    const bytes = encodeRecord(tagged)
    const larger = new Uint8Array(bytes.byteLength + 20)
    larger.set(bytes, 7)
    expect(decodeRecord(larger.subarray(7, 7 + bytes.byteLength))).toEqual(tagged)
  })

  test('shares nothing with the payload that it is made of', () => {
    const payload = Buffer.from('abc')
    const bytes = encodeRecord({ ...entry, payload })
    payload.fill(0)
    expect(decodeRecord(bytes)).toEqual({ ...entry, payload: Buffer.from('abc') })
  })

  test('comes back as it was, whatever its fields hold', () => {
    const time = fc.option(fc.nat({ max: 4e14 }), { nil: undefined })
    const word = fc.string({ unit: 'binary', minLength: 1 })
    const records = fc.record({
      kind: fc.constantFrom('entry' as const, 'lease' as const),
      id: fc.constant(newId()),
      freshUntil: time,
      expiresAt: time,
      tags: fc.array(fc.tuple(fc.string({ unit: 'binary' }), word), { maxLength: 32 }).map(pairs => new Map(pairs)),
      codec: word,
      payload: fc.uint8Array().map(bytes => Buffer.from(bytes)),
    })
    fc.assert(
      fc.property(records, record => {
        expect(decodeRecord(encodeRecord(record))).toEqual(record)
      }),
    )
  })
})

describe('a damaged record is a corrupt entry', () => {
  const samples = golden.map(([record]) => encodeRecord(record))

  test('with any one bit flipped', () => {
    for (const sample of samples) {
      for (let bit = 0; bit < sample.byteLength * 8; bit++) {
        const bytes = Uint8Array.from(sample)
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expectCorrupt(bytes)
      }
    }
  })

  test('cut at any place, or with bytes behind its end', () => {
    for (const sample of samples) {
      for (let length = 0; length < sample.byteLength; length++) expectCorrupt(sample.subarray(0, length))
      for (let byte = 0; byte < 256; byte++) expectCorrupt(Buffer.concat([sample, Buffer.of(byte)]))
    }
  })

  test('with any run of up to 32 bits damaged', () => {
    const damage = fc.record({
      sample: fc.constantFrom(...samples),
      at: fc.nat(),
      mask: fc.uint8Array({ minLength: 1, maxLength: 4 }),
    })
    fc.assert(
      fc.property(damage, ({ sample, at, mask }) => {
        const bytes = Uint8Array.from(sample)
        const start = at % (bytes.byteLength - mask.byteLength)
        for (const [index, bits] of mask.entries()) bytes[start + index] = (bytes[start + index] ?? 0) ^ bits
        fc.pre(mask.some(bits => bits !== 0))
        expectCorrupt(bytes)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('what is not ours is a corrupt entry', () => {
  test.each(['', 'hello', '{"id":42}', '"5"', 'ck1', 'ck1 ', 'ck1 \n', 'ck1\n', '\n', '\0', 's:5:"value";', 'a\nb\nc'])(
    '%p',
    stored => {
      expectCorrupt(Buffer.from(stored))
    },
  )

  test('a record of a later version', () => {
    expectCorrupt(Buffer.from(text(encodeRecord(entry)).replace('ck1', 'ck2'), 'latin1'))
  })

  test.each([
    'value AAAA.0 - - json -',
    'entry AAAA.0 soon - json -',
    'entry AAAA.0 -5 - json -',
    'entry AAAA.0 - 1e3 json -',
    'entry AAAA.0 - 1234567890123456 json -',
    'entry AAAA.0 -',
    'entry',
    '',
    'entry AAAA.0 - - %zz -',
    'entry AAAA.0 - - json tag',
    'entry AAAA.0 - - json %zz=token',
    'entry AAAA.0 - - json',
  ])('the fields %p with a right checksum', fields => {
    const checked = `${fields}\npayload`
    const checksum = crc32(checked).toString(16).padStart(8, '0')
    expectCorrupt(Buffer.from(`ck1 ${checksum} ${checked}`))
  })
})

describe('newId', () => {
  test('never answers the same twice, also in two copies of the module', () => {
    const ids = new Set<string>()
    const copies: (typeof newId)[] = [newId]
    for (let copy = 0; copy < 3; copy++) {
      jest.isolateModules(() => {
        copies.push(require('../src/record.ts').newId)
      })
    }
    for (let index = 0; index < 10_000; index++) {
      for (const next of copies) ids.add(next())
    }
    expect(ids.size).toBe(40_000)
    for (const id of ids) {
      if (!/^[\w-]{16}\.[\da-z]+$/.test(id)) throw new Error(`${id} does not fit into a header`)
    }
  })
})
