import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import * as v from 'valibot'
import * as z from 'zod'
import { encodeArguments } from '../src/argument-key.ts'
import { type Cache, createCache } from '../src/index.ts'
import { SqliteStore } from './sqlite-store.ts'

let store: SqliteStore
let cache: Cache

beforeEach(() => {
  store = new SqliteStore()
  cache = createCache({ backend: store.backend() })
})

afterEach(() => cache.close())

test('a wrapped function runs once for each list of arguments', async () => {
  const add = jest.fn((a: number, b: number) => a + b)
  const cached = cache.wrap(add, { name: 'add' })
  expect([await cached(1, 2), await cached(1, 2), await cached(2, 1)]).toEqual([3, 3, 3])
  expect(add.mock.calls).toEqual([
    [1, 2],
    [2, 1],
  ])
  expect([...store.rows().keys()].sort()).toEqual(['cachekit:add(1,2)', 'cachekit:add(2,1)'])
})

test('key, refresh and delete', async () => {
  let n = 0
  const cached = cache.wrap((_id: string) => ++n, { name: 'next' })
  expect(await cached('a')).toBe(1)
  expect(await cache.get(cached.key('a'))).toBe(1)
  expect(await cached.refresh('a')).toBe(2)
  expect(await cached('a')).toBe(2)
  expect(await cached.delete('a')).toBe(true)
  expect(await cached.delete('a')).toBe(false)
  expect(await cached('a')).toBe(3)
})

test('key chooses what of the arguments counts', async () => {
  const load = jest.fn((user: { id: number; seen: Date }) => user.id)
  const cached = cache.wrap(load, { name: 'user', key: user => user.id })
  await cached({ id: 1, seen: new Date(1) })
  await cached({ id: 1, seen: new Date(2) })
  expect(load).toHaveBeenCalledTimes(1)
})

test('this reaches the function', async () => {
  const service = {
    factor: 3,
    times: cache.wrap(
      function (this: { factor: number }, n: number) {
        return n * this.factor
      },
      { name: 'times' },
    ),
  }
  expect(await service.times(2)).toBe(6)
})

test('names that look like calls stay apart', () => {
  const f = cache.wrap((_: string) => 1, { name: 'f' })
  const g = cache.wrap((_: string) => 1, { name: 'f("a")(' })
  expect(g.key('b')).not.toBe(f.key('a")("b'))
  expect(g.key('b').startsWith('f("a")(')).toBe(false)
})

test('arguments that are the same in another order give one key', () => {
  expect(encodeArguments([{ a: 1, b: { c: 2, d: 3 } }])).toBe(encodeArguments([{ b: { d: 3, c: 2 }, a: 1 }]))
  expect(encodeArguments([new Set([1, 2])])).toBe(encodeArguments([new Set([2, 1])]))
})

test('arguments that differ give different keys', () => {
  const date = new Date(7)
  const lists: unknown[][] = [
    [],
    [undefined],
    [null],
    ['null'],
    [0],
    [-0],
    ['0'],
    [0n],
    [false],
    [Number.NaN],
    [''],
    [[]],
    [{}],
    [[[]]],
    [1, 2],
    [[1, 2]],
    ['1,2'],
    [{ a: 1 }],
    [{ a: '1' }],
    [{ a: undefined }],
    [date],
    [date.getTime()],
    [date.toISOString()],
    [new Set([1])],
    [new Map([[1, 1]])],
    [/a/],
    [/a/g],
    [new URL('http://a/')],
    ['http://a/'],
    [new Uint8Array([1])],
    [new Int8Array([1])],
    [Buffer.from([1])],
    ['x'.repeat(2000)],
    ['x'.repeat(2001)],
    ['\ud800'],
    ['\ufffd'],
  ]
  const keys = lists.map(list => encodeArguments(list))
  expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([])
  expect(keys.every(key => key.isWellFormed() && key.length < 1100)).toBe(true)
})

test.each([[() => {}], [Symbol('x')], [new (class A {})()], [{ deep: [new WeakMap()] }], [{ [Symbol('x')]: 1 }]])(
  'argument %p makes no key and says so',
  async argument => {
    const cached = cache.wrap((_: unknown) => 1, { name: 'f' })
    await expect(cached(argument)).rejects.toMatchObject({
      code: 'CACHE_INVALID_ARGUMENT',
      message: expect.stringContaining('argument 1'),
    })
  },
)

test('a cycle makes no key', async () => {
  const cycle: { self?: unknown } = {}
  cycle.self = [cycle]
  await expect(cache.wrap((_: unknown) => 1, { name: 'f' })(cycle)).rejects.toThrow('contains itself')
})

test('wrap of a key says that this is getOrSet', () => {
  expect(() => cache.wrap('key' as never, { name: 'x' })).toThrow('getOrSet')
  expect(() => cache.wrap(() => 1, {} as never)).toThrow('name')
})

test('a wrapped function keeps the this of refresh, and has none of its own', async () => {
  const times = cache.wrap(
    function (this: { factor: number } | undefined, n: number) {
      return this === undefined ? 'nothing' : n * this.factor
    },
    { name: 'times', key: n => n },
  )
  expect(await times.refresh.call({ factor: 3 } as never, 2)).toBe(6)
  expect(await times.refresh(2)).toBe('nothing')
})

test('key and tags get the this of the call', async () => {
  const find = cache.wrap(
    function (this: { tenant: string }, id: string) {
      return `${this.tenant}${id}`
    },
    {
      name: 'find',
      key(this: unknown, id) {
        return [(this as { tenant: string }).tenant, id]
      },
      tags(this: unknown) {
        return [(this as { tenant: string }).tenant]
      },
    },
  )
  const tenants = ['a', 'b'].map(tenant => ({ tenant, find }))
  expect(await Promise.all(tenants.map(tenant => tenant.find('1')))).toEqual(['a1', 'b1'])
  await cache.deleteByTag('a')
  expect(await cache.getMany(['find(["a","1"])', 'find(["b","1"])'])).toEqual([undefined, 'b1'])
})

test('tags are made of the arguments', async () => {
  const load = jest.fn(async (team: string, id: number) => `${team}${id}`)
  const cached = cache.wrap(load, { name: 'member', tags: team => [`team:${team}`] })
  const all = async (): Promise<string[]> => Promise.all([cached('a', 1), cached('a', 2), cached('b', 1)])
  expect(await all()).toEqual(['a1', 'a2', 'b1'])
  await cache.deleteByTag('team:a')
  expect(await all()).toEqual(['a1', 'a2', 'b1'])
  expect(load.mock.calls.map(call => call.join('')).sort()).toEqual(['a1', 'a1', 'a2', 'a2', 'b1'])
  await expect(cache.wrap(load, { name: 'x', tags: () => [''] })('a', 1)).rejects.toMatchObject({
    code: 'CACHE_INVALID_ARGUMENT',
  })
})

describe.each([
  ['Zod', z.object({ id: z.number(), name: z.string().default('nobody') })],
  ['Valibot', v.object({ id: v.number(), name: v.optional(v.string(), 'nobody') })],
])('a schema of %s', (_, schema) => {
  test('gives what it makes of the value, refuses a misfit, and repairs what is stored', async () => {
    const load = jest.fn(async (id: number): Promise<{ id: number; name: string }> => ({ id }) as never)
    const cached = cache.wrap(load, { name: 'user', schema })
    expect([await cached(1), await cached(1)]).toEqual([
      { id: 1, name: 'nobody' },
      { id: 1, name: 'nobody' },
    ])
    expect(load).toHaveBeenCalledTimes(1)
    await expect(cached('2' as never)).rejects.toMatchObject({
      code: 'CACHE_INVALID_VALUE',
      message: expect.stringContaining('value.id'),
    })
    expect(await cache.has(cached.key('2' as never))).toBe(false)

    await cache.set(cached.key(3), { id: 'of an earlier release' })
    expect(await cached(3)).toEqual({ id: 3, name: 'nobody' })
    expect(await cache.get(cached.key(3))).toEqual({ id: 3, name: 'nobody' })
  })
})

test('without a backend the function just runs, each time', async () => {
  const bare = createCache({ backend: undefined })
  const load = jest.fn((n: number) => n + 1)
  const cached = bare.wrap(load, { name: 'next', ttl: '5m', tags: n => [`${n}`] })
  expect([await cached(1), await cached(1), await cached.refresh(1)]).toEqual([2, 2, 2])
  expect(load).toHaveBeenCalledTimes(3)
  expect(cached.key(1)).toBe('next(1)')
  expect(await cached.delete(1)).toBe(false)
  await bare.close()
})

test('what the function throws reaches its callers as it is, and is not stored', async () => {
  const error = new TypeError('no')
  const fail = jest.fn(async () => {
    throw error
  })
  const cached = cache.wrap(fail, { name: 'fail' })
  await expect(cached()).rejects.toBe(error)
  await expect(cached()).rejects.toBe(error)
  expect(fail).toHaveBeenCalledTimes(2)
  expect(store.rows().size).toBe(0)
})

test('namespaces keep one name apart', async () => {
  const [a, b] = ['a', 'b'].map(name => cache.namespace(name).wrap(() => name, { name: 'f' }))
  expect([await a?.(), await b?.()]).toEqual(['a', 'b'])
})

describe('argument keys', () => {
  // So small that equal arguments, and almost equal ones, are drawn all the time.
  const leaf = fc.constantFrom<unknown>(
    ...[0, -0, 1, Number.NaN, '0', '', 'a', '~', 0n, null, undefined, false, true, '[]', '"a"', '{"~Date":0}'],
    ...[new Date(0), new Date(1), /a/, /a/g, new URL('http://a'), new URL('http://b'), new Uint8Array([1])],
    ...[new Int8Array([1]), Buffer.from([1]), new ArrayBuffer(1), [], {}, new Set(), new Map(), Object.create(null)],
  )
  const key = fc.constantFrom('a', 'b', '0', '~', '~Set', '~hole', '__proto__')
  const { value } = fc.letrec<{ value: unknown }>(tie => {
    const some = fc.array(tie('value'), { maxLength: 2 })
    const pairs = fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 2 })
    const properties = fc.array(fc.tuple(key, tie('value')), { maxLength: 2 })
    return {
      value: fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        leaf,
        some,
        some.map(members => new Set(members)),
        pairs.map(entries => new Map(entries)),
        properties.map(entries => Object.fromEntries(entries)),
        properties.map(entries => Object.assign(Object.create(null), Object.fromEntries(entries))),
        some.map(([first, second]) => Object.assign([], { 1: first, 3: second })),
      ),
    }
  })
  const list = fc.array(value, { maxLength: 2 })

  test('are the same for equal arguments, and different for different ones', () => {
    let equal = 0
    fc.assert(
      fc.property(list, list, (a, b) => {
        const same = isDeepStrictEqual(a, b)
        if (same) equal++
        return (encodeArguments(a) === encodeArguments(b)) === same
      }),
      { numRuns: 5000 },
    )
    expect(equal).toBeGreaterThan(50)
  })

  test('do not depend on the order of properties, nor on that of the members of sets and maps', () => {
    function turned(value: unknown): unknown {
      if (value instanceof Set) return new Set([...value].reverse().map(turned))
      if (value instanceof Map) return new Map([...value].reverse().map(([k, v]) => [turned(k), turned(v)]))
      if (Array.isArray(value)) return Object.assign([], Object.fromEntries(Object.entries(value).map(turnEntry)))
      if (typeof value !== 'object' || value === null) return value
      const prototype = Object.getPrototypeOf(value)
      if (prototype !== Object.prototype && prototype !== null) return value
      const copy = Object.create(prototype)
      for (const entry of Object.entries(value).reverse()) {
        const [key, own] = turnEntry(entry)
        Object.defineProperty(copy, key, { value: own, enumerable: true })
      }
      return copy
    }
    const turnEntry = ([key, own]: [string, unknown]): [string, unknown] => [key, turned(own)]
    fc.assert(
      fc.property(list, args => {
        expect(encodeArguments(args.map(turned))).toBe(encodeArguments(args))
      }),
      { numRuns: 1000 },
    )
  })

  test('of two functions are never the same, whatever their names are', () => {
    const name = fc.string({
      unit: fc.constantFrom('(', '%28', '%25', '%', ')', '"a"', 'a'),
      minLength: 1,
      maxLength: 3,
    })
    const args = fc.array(fc.constantFrom<unknown>(1, 2, 'a', '(', ')("a"'), { maxLength: 2 })
    fc.assert(
      fc.property(name, args, name, args, (name, args, otherName, otherArgs) => {
        const keyOf = (name: string, args: unknown[]): string =>
          cache.wrap((..._: unknown[]) => 1, { name }).key(...args)
        const same = name === otherName && isDeepStrictEqual(args, otherArgs)
        return (keyOf(name, args) === keyOf(otherName, otherArgs)) === same
      }),
      { numRuns: 5000 },
    )
  })
})
