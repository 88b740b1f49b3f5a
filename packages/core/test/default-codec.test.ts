import { isDeepStrictEqual } from 'node:util'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { invalidCounters, invalidKeys, invalidNames, invalidTtls, invalidValues } from '../src/conformance/corpora.ts'
import { clone, cloneAgain } from '../src/default-codec.ts'
import { type CacheError, defaultCodec, isCacheError } from '../src/index.ts'
import { golden } from './stored/golden.ts'

const encode = (value: unknown): string => Buffer.from(defaultCodec.encode(value)).toString()
const decode = (text: string): unknown => defaultCodec.decode(Buffer.from(text))

/** Node.js 22 finds no two invalid dates equal. */
const comparesInvalidDates = isDeepStrictEqual(new Date(Number.NaN), new Date(Number.NaN))

/** Equal in types, prototypes, holes and signs of zero, and by the second test also in URLs and the order of keys. */
function same(a: unknown, b: unknown): boolean {
  const stored = encode(a)
  const equal = isDeepStrictEqual(a, b) || (!comparesInvalidDates && stored.includes('{"~Date":null}'))
  return equal && stored === encode(b)
}

function refusal(run: () => unknown): CacheError {
  try {
    run()
  } catch (error) {
    if (isCacheError(error)) return error
    throw new Error('not a CacheError', { cause: error })
  }
  throw new Error('nothing was refused')
}

describe('what is stored', () => {
  for (const [value, stored] of golden) {
    test(stored, () => {
      expect(encode(value)).toBe(stored)
      expect(same(decode(stored), value)).toBe(true)
      expect(same(clone(value), value)).toBe(true)
      expect(same(cloneAgain(clone(value)), value)).toBe(true)
    })
  }

  test('JSON is stored as JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const json = JSON.stringify(value, (_, each) => (Object.is(each, -0) ? '~-0' : each))
        // -0 and keys that start with '~' have the typed form.
        fc.pre(!json.includes('"~'))
        expect(encode(value)).toBe(json)
      }),
    )
  })

  test('any value comes back as it was, or is refused; a clone is the same or refused with the same words', () => {
    const options = {
      key: fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'constructor', 'toJSON', '~', '~Date')),
      maxDepth: 4,
      withBigInt: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
    }
    const anything = fc.oneof(
      { weight: 8, arbitrary: fc.anything(options) },
      { weight: 1, arbitrary: fc.anything({ ...options, withBoxedValues: true }) },
      { weight: 1, arbitrary: fc.array(fc.oneof(fc.anything(options), fc.func(fc.anything()))) },
    )
    let accepted = 0
    fc.assert(
      fc.property(anything, value => {
        let stored: string
        try {
          stored = encode(value)
        } catch {
          expect(refusal(() => clone(value)).message).toBe(refusal(() => encode(value)).message)
          return
        }
        accepted++
        const copies = [decode(stored), clone(value), cloneAgain(clone(value))]
        for (const copy of copies) {
          if (!same(copy, value)) throw new Error(`${stored} became ${encode(copy)}`)
        }
      }),
      { numRuns: 2000 },
    )
    expect(accepted).toBeGreaterThan(1000)
  })

  test('what is hostile to others comes back as it was, or is refused with its path', () => {
    let accepted = 0
    let refused = 0
    for (const value of [...invalidKeys, ...invalidValues, ...invalidTtls, ...invalidNames, ...invalidCounters]) {
      try {
        expect(same(decode(encode([{ deep: value }])), [{ deep: value }])).toBe(true)
        accepted++
      } catch (error) {
        expect(error).toMatchObject({ code: 'CACHE_NOT_SERIALIZABLE' })
        expect((error as Error).message).toMatch(/^Not serializable: value\[0\]\.deep(\.\w+)? is a/)
        refused++
      }
    }
    expect(accepted).toBeGreaterThan(60)
    expect(refused).toBeGreaterThan(5)
  })

  test('a typed array that this Node.js may not have', () => {
    const read = (): unknown => decode('~{"~Float16Array":"ADw="}')
    if ('Float16Array' in globalThis) expect(encode(read())).toBe('~{"~Float16Array":"ADw="}')
    else expect(refusal(read).code).toBe('CACHE_CORRUPT_ENTRY')
  })

  test('every byte value, and views of a part of a buffer', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const part = all.subarray(100, 200)
    for (const value of [all, part, new Uint16Array(new Uint8Array(all).buffer, 2, 3)]) {
      for (const copy of [decode(encode(value)), clone(value)] as (typeof value)[]) {
        expect(isDeepStrictEqual(copy, value)).toBe(true)
        // A buffer of its own, not a part of the pool of Node.js or of the original.
        expect(copy.buffer.byteLength).toBe(value.byteLength)
        expect(copy.buffer).not.toBe(value.buffer)
      }
    }
  })

  test('an object that occurs twice becomes two', () => {
    const shared = { n: 1 }
    for (const copy of [decode(encode([shared, shared])), clone([shared, shared])] as object[][]) {
      expect(copy).toEqual([{ n: 1 }, { n: 1 }])
      expect(copy[0]).not.toBe(copy[1])
    }
  })

  test('a regular expression starts again', () => {
    const used = /a/g
    used.lastIndex = 5
    expect(clone(used).lastIndex).toBe(0)
    expect((decode(encode(used)) as RegExp).lastIndex).toBe(0)
  })

  test('a getter is stored as what it answers', () => {
    const value = {
      get at() {
        return new Date(7)
      },
    }
    expect(clone(value)).toEqual({ at: new Date(7) })
    expect(encode(value)).toBe('~{"at":{"~Date":7}}')
    expect(Object.getOwnPropertyDescriptor(clone(value), 'at')).toHaveProperty('value')
  })

  test('the dates of fake timers are dates', () => {
    jest.useFakeTimers({ now: 1_000 })
    const date = new Date()
    try {
      expect(Object.getPrototypeOf(Object.getPrototypeOf(date))).not.toBe(Object.prototype)
      expect(encode({ date })).toBe('~{"date":{"~Date":1000}}')
      expect(clone(date).getTime()).toBe(1_000)
    } finally {
      jest.useRealTimers()
    }
  })
})

describe('values of another realm', () => {
  const foreign = (expression: string): unknown => runInNewContext(`(${expression})`)

  test.each([
    '{ a: [1, { b: null }] }',
    '[1, [2]]',
    '{ at: new Date(5), un: undefined }',
    '/x/g',
    'new Map([[1, { a: new Set([1]) }]])',
    'new Uint8Array([1, 2])',
    'new Float64Array([1.5])',
    'new ArrayBuffer(2)',
    'new DataView(new ArrayBuffer(2))',
    'Object.assign(Object.create(null), { a: 1 })',
    '[1, , 2]',
  ])('%s', expression => {
    // biome-ignore lint/security/noGlobalEval: the same expression, in this realm
    const own = globalThis.eval(`(${expression})`)
    const value = foreign(expression)
    for (const copy of [decode(encode(value)), clone(value)]) {
      expect(encode(copy)).toBe(encode(own))
      expect(Object.getPrototypeOf(copy)).toBe(Object.getPrototypeOf(own))
    }
  })

  test.each(['new (class Foo {})()', 'new (class extends Map {})()', 'new Error("x")', 'Promise.resolve()', '() => 1'])(
    '%s is refused',
    expression => {
      expect(refusal(() => encode(foreign(expression))).code).toBe('CACHE_NOT_SERIALIZABLE')
      expect(refusal(() => clone(foreign(expression))).code).toBe('CACHE_NOT_SERIALIZABLE')
    },
  )
})

describe('what is refused', () => {
  class User {
    secret = 'hunter2'
  }
  class Roles extends Map {}
  class Names extends Array {}
  class Moment extends Date {}
  class Bytes extends Uint8Array {}
  class LooksLikeMap {
    get [Symbol.toStringTag]() {
      return 'Map'
    }
    *[Symbol.iterator]() {
      yield ['hunter2', 1]
    }
  }
  const cyclic: Record<string, unknown> = { name: 'hunter2' }
  cyclic.list = [{ parent: cyclic }]
  const cyclicMap = new Map()
  cyclicMap.set('self', cyclicMap)

  const refused: readonly (readonly [value: unknown, message: string])[] = [
    [() => 'hunter2', 'value is a function'],
    [User, 'value is a function'],
    [Symbol('hunter2'), 'value is a symbol'],
    [{ users: [1, 2, 3, { save() {} }] }, 'value.users[3].save is a function'],
    [{ toJSON: () => 'hunter2' }, 'value.toJSON is a function'],
    [{ 'first name': [Symbol.iterator] }, 'value["first name"][0] is a symbol'],
    [{ a: { [Symbol('hunter2')]: 'hunter2' } }, 'value.a has a symbol as a key'],
    [[Object.assign([1], { [Symbol('s')]: 1 })], 'value[0] has a symbol as a key'],
    [Object.assign(new Date(0), { [Symbol('s')]: 1 }), 'value has a symbol as a key'],
    [{ u: new User() }, 'value.u is an instance of User'],
    [Object.create({ inherited: 1 }), 'value is an instance of Object'],
    [Object.create(Object.create(null)), 'value is an instance of a class'],
    [new Roles(), 'value is an instance of Roles'],
    [Names.from([1]), 'value is an instance of Names'],
    [[new Moment(0)], 'value[0] is an instance of Moment'],
    [new Bytes(1), 'value is an instance of Bytes'],
    [new LooksLikeMap(), 'value is an instance of LooksLikeMap'],
    [new Error('hunter2'), 'value is an instance of Error'],
    // Tracing tools mark promises with symbols.
    [Object.assign(Promise.resolve('hunter2'), { [Symbol('id')]: 1 }), 'value is an instance of Promise'],
    [new WeakMap(), 'value is an instance of WeakMap'],
    [new URLSearchParams('a=b'), 'value is an instance of URLSearchParams'],
    [new SharedArrayBuffer(1), 'value is an instance of SharedArrayBuffer'],
    [Object(1), 'value is an instance of Number'],
    [Object('hunter2'), 'value is an instance of String'],
    [new (class {})(), 'value is an instance of a class'],
    [new Map([['k', new Map([[{ f: () => 1 }, 1]])]]), 'value[0][1][0][0].f is a function'],
    [new Set([1, () => 1]), 'value[1] is a function'],
    [Object.assign(Object.create(null), { f: () => 1 }), 'value.f is a function'],
    [Object.assign([1], { total: 'hunter2' }), 'value.total is a property of an object of type Array'],
    // biome-ignore lint/suspicious/noSparseArray: as many elements and properties as it is long
    [Object.assign([1, ,], { total: 'hunter2' }), 'value.total is a property of an object of type Array'],
    [Object.assign([undefined], { '-1': 1 }), 'value["-1"] is a property of an object of type Array'],
    [Object.assign([undefined], { 4294967295: 1 }), 'value["4294967295"] is a property of an object of type Array'],
    [['hunter2'.match(/n(t)/)], 'value[0].groups is a property of an object of type Array'],
    [Object.assign(new Date(0), { zone: 'hunter2' }), 'value.zone is a property of an object of type Date'],
    [Object.assign(new Map(), { size2: 1 }), 'value.size2 is a property of an object of type Map'],
    [new Array(10_001), 'value is an array with more than 10000 holes'],
    [new Array(2 ** 32 - 1), 'value is an array with more than 10000 holes'],
    [cyclic, `value${'.list[0].parent'.repeat(6)}.list… is more than 500 levels deep, or contains itself`],
    [cyclicMap, `value${'[0][1]'.repeat(15)}[0][1… is more than 500 levels deep, or contains itself`],
  ]

  for (const [value, message] of refused) {
    test(message, () => {
      for (const run of [encode, clone]) {
        const error = refusal(() => run(value))
        expect(error.code).toBe('CACHE_NOT_SERIALIZABLE')
        expect(error.message).toBe(`Not serializable: ${message}.`)
        expect(error.cause).toBeUndefined()
      }
    })
  }

  test('500 levels are stored, more are refused, and none overflow the stack', () => {
    const nested = (levels: number, wrap: (inner: unknown) => unknown): unknown => {
      let value: unknown = 1
      for (let level = 0; level < levels; level++) value = wrap(value)
      return value
    }
    const wraps: ((inner: unknown) => unknown)[] = [
      inner => [inner],
      inner => ({ inner }),
      inner => [inner, undefined],
      inner => new Set([inner]),
    ]
    for (const wrap of wraps) {
      expect(encode(clone(nested(500, wrap)))).toBe(encode(decode(encode(nested(500, wrap)))))
      for (const levels of [501, 100_000]) {
        expect(refusal(() => encode(nested(levels, wrap))).message).toMatch(/more than 500 levels deep/)
        expect(refusal(() => clone(nested(levels, wrap))).message).toMatch(/more than 500 levels deep/)
      }
    }
  })

  test('a getter or proxy that throws is refused with its error as the cause', () => {
    const cause = new Error('broken')
    const broken = {
      get name() {
        throw cause
      },
    }
    for (const run of [encode, clone]) {
      expect(refusal(() => run([broken]))).toMatchObject({ code: 'CACHE_NOT_SERIALIZABLE', cause })
    }
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(refusal(() => encode(proxy)).code).toBe('CACHE_NOT_SERIALIZABLE')
    expect(refusal(() => clone(proxy)).code).toBe('CACHE_NOT_SERIALIZABLE')
  })

  test('a buffer that was transferred is refused, also through its views', () => {
    const view = new Uint8Array(2)
    const { buffer } = view
    structuredClone(buffer, { transfer: [buffer] })
    for (const value of [buffer, view]) {
      expect(refusal(() => encode(value)).code).toBe('CACHE_NOT_SERIALIZABLE')
      expect(refusal(() => clone(value)).code).toBe('CACHE_NOT_SERIALIZABLE')
    }
  })
})

describe('values share nothing', () => {
  const make = () => ({ list: [{ n: 1 }], at: new Date(0), map: new Map([['k', [1]]]), bytes: Buffer.from('ab') })

  test.each([
    ['decode', (value: ReturnType<typeof make>) => decode(encode(value))],
    ['clone', clone],
    ['cloneAgain', (value: ReturnType<typeof make>) => cloneAgain(value)],
  ] as const)('%s', (_, copyOf) => {
    const value = make()
    const copy = copyOf(value) as ReturnType<typeof make>
    copy.list.push({ n: 2 })
    if (copy.list[0]) copy.list[0].n = 3
    copy.at.setTime(9)
    copy.map.get('k')?.push(2)
    copy.bytes[0] = 0
    expect(same(value, make())).toBe(true)
  })

  test('a frozen value is taken, and comes back unfrozen', () => {
    const frozen = Object.freeze({ list: Object.freeze([Object.freeze({ n: 1 })]), at: Object.freeze(new Date(0)) })
    const copy = clone(frozen) as unknown as { list: { n: number }[] }
    copy.list.push({ n: 2 })
    expect(Object.isFrozen(copy)).toBe(false)
    expect(frozen.list).toHaveLength(1)
  })
})

describe('stored bytes are data only', () => {
  test('no stored key reaches a prototype', () => {
    for (const text of [
      '{"__proto__":{"polluted":1}}',
      '~{"__proto__":{"polluted":1},"n":{"~bigint":"1"}}',
      '~{"~~a":{"~undefined":null},"__proto__":{"polluted":1}}',
      '~{"~null":{"__proto__":{"polluted":1}}}',
      '{"constructor":{"prototype":{"polluted":1}}}',
    ]) {
      const value = decode(text) as Record<string, unknown>
      expect('polluted' in {}).toBe(false)
      expect(value.polluted).toBeUndefined()
      expect(clone(value).polluted).toBeUndefined()
      expect(cloneAgain(value).polluted).toBeUndefined()
      expect(encode(value)).toBe(text)
    }
  })

  test.each([
    '',
    ' ',
    '{',
    'undefined',
    'NaN',
    '[1,]',
    '{"a":1}x',
    '\ufeff1',
    '\0',
    '~',
    '~{',
    '~~1',
    '~{"~Nothing":1}',
    '~{"~__proto__":1}',
    '~{"~constructor":1}',
    '~{"~":1}',
    '~{"~hole":null}',
    '~{"~Date":0,"x":1}',
    '~{"x":1,"~Date":0}',
    '~{"~undefined":1}',
    '~{"~number":"x"}',
    '~{"~number":null}',
    '~{"~number":1}',
    '~{"~bigint":"0x10"}',
    '~{"~bigint":""}',
    '~{"~bigint":1}',
    '~{"~Date":"1970-01-01T00:00:00.000Z"}',
    '~{"~Date":1.5}',
    '~{"~Date":8640000000000001}',
    '~{"~Date":[]}',
    '~{"~RegExp":"a"}',
    '~{"~RegExp":"/(/"}',
    '~{"~RegExp":"/a/xyz"}',
    '~{"~RegExp":["a",""]}',
    '~{"~RegExp":null}',
    '~{"~URL":"no url"}',
    '~{"~URL":1}',
    '~{"~Map":{}}',
    '~{"~Map":[1]}',
    '~{"~Map":["ab"]}',
    '~{"~Set":"ab"}',
    '~{"~Set":null}',
    '~{"~Map":null}',
    '~{"~null":null}',
    '~{"~Buffer":"a"}',
    '~{"~Buffer":"!!!!"}',
    '~{"~Buffer":[1]}',
    '~{"~Uint8Array":1000000000}',
    '~{"~Float64Array":"AAAA"}',
    `~${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    `~${'{"~Set":['.repeat(100_000)}${']}'.repeat(100_000)}`,
  ])('%.40s is a corrupt entry', text => {
    const error = refusal(() => decode(text))
    expect(error.code).toBe('CACHE_CORRUPT_ENTRY')
    expect(error.cause).toBeUndefined()
  })

  test('bytes that are no UTF-8 are a corrupt entry, and not a value with other characters', () => {
    expect(refusal(() => defaultCodec.decode(Buffer.from([0x22, 0xff, 0x22]))).code).toBe('CACHE_CORRUPT_ENTRY')
  })

  test('damaged bytes give a value or a corrupt entry, and no other error', () => {
    const samples = golden.map(([, stored]) => Buffer.from(stored))
    const change = fc.record({
      sample: fc.constantFrom(...samples),
      at: fc.nat(),
      byte: fc.nat(255),
      cut: fc.boolean(),
    })
    fc.assert(
      fc.property(change, ({ sample, at, byte, cut }) => {
        const bytes = Buffer.from(sample)
        bytes[at % bytes.length] = byte
        try {
          defaultCodec.decode(cut ? bytes.subarray(0, at % bytes.length) : bytes)
        } catch (error) {
          expect(isCacheError(error, 'CACHE_CORRUPT_ENTRY')).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
