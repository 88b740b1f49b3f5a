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
