import { transformSync } from '@swc/core'
import { type Cache, cached, cachedMethod, createCache } from '../src/index.ts'
import { SqliteStore } from './sqlite-store.ts'

let store: SqliteStore
let cache: Cache

beforeEach(() => {
  store = new SqliteStore()
  cache = createCache({ backend: store.backend() })
})

afterEach(() => cache.close())

const keys = (): string[] => [...store.rows().keys()].map(id => id.replace('cachekit:', '')).sort()

const transforms = {
  standard: { decoratorVersion: '2022-03' as const },
  legacy: { legacyDecorator: true },
}

/** What the source makes of `cache` and `cached`, compiled with decorators of this form. */
function run(form: keyof typeof transforms, source: string, scope: object = {}): never {
  const { code } = transformSync(`export default (() => { ${source} })()`, {
    jsc: { target: 'es2022', parser: { syntax: 'typescript', decorators: true }, transform: transforms[form] },
    module: { type: 'commonjs' },
  })
  const exports: { default?: never } = {}
  const names = { exports, cache, cached, ...scope }
  new Function(...Object.keys(names), code)(...Object.values(names))
  return exports.default as never
}

interface Users {
  readonly factor: number
  readonly calls: unknown[][]
  find(id: string, n?: number): Promise<string>
}
type UsersClass = (new (factor: number) => Users) & { readonly calls: unknown[][]; all(n: number): Promise<number[]> }

const users = `
  class Users {
    static calls = []
    calls = []
    constructor(factor) { this.factor = factor }
    @cached(cache)
    async find(id, n = 1) {
      this.calls.push([id, n])
      return id.repeat(n * this.factor)
    }
    @cached(cache)
    static async all(n) {
      this.calls.push([n])
      return [n]
    }
  }
  return Users`

describe.each(['standard', 'legacy'] as const)('the %s decorator', form => {
  test('caches what a method gives, on the instance that it is called on', async () => {
    const Users = run(form, users) as UsersClass
    const two = new Users(2)
    expect([await two.find('a'), await two.find('a'), await two.find('a', 2)]).toEqual(['aa', 'aa', 'aaaa'])
    expect(two.calls).toEqual([
      ['a', 1],
      ['a', 2],
    ])
    const three = new Users(3)
    expect(await three.find('b')).toBe('bbb')
    expect(three.calls).toEqual([['b', 1]])
  })

  test('names entries by class and method, also static ones', async () => {
    const Users = run(form, users) as UsersClass
    await new Users(1).find('a')
    expect(await Users.all(3)).toEqual([3])
    expect(await Users.all(3)).toEqual([3])
    expect(Users.calls).toEqual([[3]])
    expect(keys()).toEqual(['Users.all(3)', 'Users.find("a")'])
  })

  test('names them by the class that has the method, not by one that inherits it', async () => {
    const classes = `
      class Base { @cached(cache) async one() { return 'base' } @cached(cache) async two() { return 'base' } }
      class Sub extends Base { @cached(cache) async one() { return 'sub, ' + await super.one() } }
      return [new Sub(), new Base()]`
    const [sub, base] = run(form, classes) as Record<'one' | 'two', () => Promise<string>>[]
    expect([await sub?.one(), await base?.one(), await sub?.two()]).toEqual(['sub, base', 'base', 'base'])
    expect(keys()).toEqual(['Base.one()', 'Base.two()', 'Sub.one()'])
  })

  test('takes a name and every other option', async () => {
    const source = `
      class Users {
        constructor(tenant) { this.tenant = tenant }
        @cached(cache, {
          name: 'users', ttl: '1h',
          key(id) { return [this.tenant, id] },
          tags(id) { return ['tenant:' + this.tenant] },
        })
        async find(id) { return this.tenant + id }
      }
      return Users`
    const Users = run(form, source) as new (tenant: string) => Pick<Users, 'find'>
    expect(await new Users('a').find('1')).toBe('a1')
    expect(await new Users('b').find('1')).toBe('b1')
    expect(await new Users('a').find('1')).toBe('a1')
    expect(keys().filter(key => !key.startsWith('~'))).toEqual(['users(["a","1"])', 'users(["b","1"])'])
    expect((await cache.getEntry('users(["a","1"])'))?.tags).toEqual(['tenant:a'])
    await cache.deleteByTag('tenant:a')
    expect(await cache.has('users(["a","1"])')).toBe(false)
    expect(await cache.has('users(["b","1"])')).toBe(true)
  })

  test('cachedMethod gives key, refresh and delete, bound to the instance', async () => {
    const Users = run(form, users) as UsersClass
    const two = new Users(2)
    const find = cachedMethod(two, two.find)
    expect(await find('a')).toBe('aa')
    expect(find.key('a')).toBe('Users.find("a")')
    expect(await find.refresh('a')).toBe('aa')
    expect(two.calls).toHaveLength(2)
    expect([await find.delete('a'), await find.delete('a')]).toEqual([true, false])
    expect(await two.find('a')).toBe('aa')
    expect(two.calls).toHaveLength(3)
    expect(() => cachedMethod(two, async () => 1)).toThrow('not decorated')
  })

  test('refuses what is no method', () => {
    const refused = (member: string): unknown => run(form, `class A { @cached(cache, { name: 'a' }) ${member} }`)
    expect(() => refused('get a() { return 1 }')).toThrow(expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }))
    if (form === 'standard') expect(() => refused('a = 1')).toThrow('not a field')
  })
})

describe('the standard decorator', () => {
  test('takes private methods: of the class without a name, of instances with one', async () => {
    const source = `
      let calls = 0
      class Users {
        @cached(cache) static async #all(n) { return [n, ++calls] }
        @cached(cache, { name: 'one' }) async #one(n) { return [n, ++calls] }
        static all(n) { return this.#all(n) }
        one(n) { return this.#one(n) }
      }
      return Users`
    const Users = run('standard', source) as { new (): { one(n: number): unknown }; all(n: number): unknown }
    expect([await Users.all(1), await Users.all(1)]).toEqual([
      [1, 1],
      [1, 1],
    ])
    expect([await new Users().one(5), await new Users().one(5)]).toEqual([
      [5, 2],
      [5, 2],
    ])
    expect(keys()).toEqual(['Users.#all(1)', 'one(5)'])
  })

  test('refuses a method whose class it cannot know', () => {
    const nameless = expect.objectContaining({
      code: 'CACHE_INVALID_ARGUMENT',
      message: expect.stringContaining('name'),
    })
    expect(() => run('standard', 'class A { @cached(cache) async #a() {} }')).toThrow(nameless)
    const other = (method: () => unknown) => () => method()
    const source = 'class A { @other @cached(cache) async a() {} } return new A()'
    expect(() => run('standard', source, { other })).toThrow(nameless)
  })
})
