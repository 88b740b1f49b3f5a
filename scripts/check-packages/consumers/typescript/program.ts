// An application in TypeScript: what it writes compiles, means what it should, and runs. Compiled as program.mts and
// program.cts, too.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import {
  type BackendOptions,
  type BackendSupports,
  BaseBackend,
  type Cache,
  type CacheBackend,
  type CacheErrorCode,
  type Codec,
  cached,
  cachedMethod,
  createCache,
  isCacheError,
  type NewEntry,
  type StoredEntry,
  type Ttl,
  type Wrapped,
} from '@cachekit/core'
import { type ConformanceCase, type ConformanceOptions, conformance } from '@cachekit/core/conformance'
import { InMemoryBackend } from '@cachekit/memory'
import { RedisBackend, type RedisBackendOptions } from '@cachekit/redis'

/** `true` only for one and the same type: `any` and `unknown` are told apart from everything else. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

interface User {
  readonly id: string
  readonly name: string
  readonly since: Date
}

async function fetchUser(id: string, _options: { readonly signal: AbortSignal }): Promise<User> {
  return { id, name: 'Ada', since: new Date(0) }
}

async function findUsers(name: string, limit = 10): Promise<{ name: string; limit: number }> {
  return { name, limit }
}

// ---- a backend of one's own

interface MapBackendOptions extends BackendOptions {
  readonly records?: Map<string, StoredEntry>
}

const supports: BackendSupports = {
  maxValueBytes: 1_000_000,
  clock: 'caller',
  persistent: false,
  shared: false,
  evicts: false,
  iteration: true,
}

class MapBackend extends BaseBackend {
  readonly #records: Map<string, StoredEntry>

  constructor({ records = new Map(), ...options }: MapBackendOptions = {}) {
    super('map', supports, options)
    this.#records = records
  }

  protected override async _get(id: string): Promise<StoredEntry | undefined> {
    return this.#records.get(id)
  }

  protected override async _set(id: string, { value, expiresAt }: NewEntry): Promise<void> {
    this.#records.set(id, { value, expiresAt })
  }

  protected override async _swap(
    id: string,
    expected: StoredEntry | undefined,
    next: NewEntry | undefined,
  ): Promise<boolean> {
    if (this.#records.get(id) !== expected) return false
    if (next === undefined) this.#records.delete(id)
    else await this._set(id, next)
    return true
  }

  protected override async _clear(prefix: string): Promise<void> {
    for (const id of this.#records.keys()) if (id.startsWith(prefix)) this.#records.delete(id)
  }

  protected override async *_keys(prefix: string): AsyncGenerator<string> {
    for (const id of this.#records.keys()) if (id.startsWith(prefix)) yield id
  }
}

// @ts-expect-error: `_swap` and `_clear` are missing
class HalfABackend extends BaseBackend {
  protected override async _get(): Promise<undefined> {}
  protected override async _set(): Promise<void> {}
}

// ---- what is inferred

async function useCache(backend: CacheBackend): Promise<void> {
  const ttl: Ttl = '5m'
  const cache = createCache({ backend, ttl, jitter: undefined })
  const users: Cache<User> = cache.namespace<User>('users', {
    ttl: ({ since }) => (since.getTime() > 0 ? '1h' : 60_000),
  })
  await cache.clear()

  const loaded = await users.getOrSet('42', ({ signal }) => fetchUser('42', { signal }), { ttl: '30s' })
  const isUser: Same<typeof loaded, User> = true
  const stored = await users.get('42')
  const isUserOrMiss: Same<typeof stored, User | undefined> = true
  assert.deepEqual([isUser, isUserOrMiss, stored], [true, true, loaded])

  const count = await cache.getOrSet('count', async ({ key }) => key.length, { shouldCache: n => n.toFixed() !== '0' })
  const isNumber: Same<typeof count, number> = true
  const many = await users.getMany(['42', '43'])
  const areUsers: Same<typeof many, (User | undefined)[]> = true
  assert.deepEqual([isNumber, areUsers, count, many], [true, true, 5, [loaded, undefined]])
  for await (const key of users.keys()) assert.equal(key, '42')

  const byName = cache.wrap(findUsers, { name: 'byName', ttl: 1000, key: (name, limit) => [name, limit] })
  const found = await byName('Ada')
  const isFound: Same<typeof found, { name: string; limit: number }> = true
  const takesArguments: Same<Parameters<typeof byName.delete>, Parameters<typeof findUsers>> = true
  assert.deepEqual([isFound, takesArguments, found], [true, true, { name: 'Ada', limit: 10 }])
  assert.equal(await byName.delete('Ada'), true)

  class Directory {
    readonly greeting = 'Dear'

    @cached(cache, { ttl: '1m', key: (id: string) => id, tags: (id: string) => [`user:${id}`] })
    async label(this: Directory, id: string, mark = ''): Promise<string> {
      return `${this.greeting} ${id}${mark}`
    }

    @cached(users, { ttl: user => (user.name === '' ? '1s' : '1h') })
    async find(id: string): Promise<User> {
      return fetchUser(id, { signal: AbortSignal.timeout(1000) })
    }

    size(of: string): Promise<number>
    size(of: readonly string[]): Promise<number[]>
    @cached(cache)
    async size(of: string | readonly string[]): Promise<number | number[]> {
      return typeof of === 'string' ? of.length : of.map(each => each.length)
    }

    @cached(cache)
    static async count(this: typeof Directory): Promise<number> {
      return Directory.name.length
    }

    // @ts-expect-error: a method that does not return a promise would return one
    @cached(cache)
    now(): number {
      return 0
    }

    // @ts-expect-error: the method does not take what `key` takes
    @cached(cache, { key: (id: string) => id })
    async double(n: number): Promise<number> {
      return n * 2
    }
  }
  const directory = new Directory()
  const label = await directory.label('42', '!')
  const isString: Same<typeof label, string> = true
  const sizes = await directory.size(['a', 'bc'])
  const areNumbers: Same<typeof sizes, number[]> = true
  const size = await directory.size('abc')
  assert.deepEqual([isString, label, areNumbers, sizes, size], [true, 'Dear 42!', true, [1, 2], 3])
  const find = cachedMethod(directory, directory.find)
  const isFind: Same<typeof find, Wrapped<[id: string], User>> = true
  assert.deepEqual([isFind, (await find('44')).name, find.key('44')], [true, 'Ada', 'Directory.find("44")'])
  assert.equal(await cachedMethod(Directory, Directory.count)(), 9)

  // @ts-expect-error: not a User
  const incomplete: Parameters<typeof users.set>[1] = { id: '43' }
  await assert.rejects(users.set('43', incomplete), TypeError) // its ttl is a function of the user
  await users.set('43', { ...loaded, id: '43' }, { ttl: undefined })

  const code: CacheErrorCode = 'CACHE_INVALID_TTL'
  // @ts-expect-error: not a duration
  await assert.rejects(users.set('44', loaded, { ttl: '5 minutes' }), error => isCacheError(error, code))
  try {
    await users.get('')
    assert.fail('an empty key is refused')
  } catch (error) {
    assert.ok(isCacheError(error))
    const isCode: Same<typeof error.code, CacheErrorCode> = true
    assert.deepEqual([isCode, error.code], [true, 'CACHE_INVALID_KEY'])
  }

  await cache.clear()
  await cache.close()
}

// ---- options under `exactOptionalPropertyTypes`, and what implementors exchange

const { REDIS_URL } = process.env // string | undefined
const redisOptions: RedisBackendOptions = {
  url: REDIS_URL,
  namespace: `check-${randomUUID()}`,
  timeout: undefined,
}
const codec: Codec = {
  id: 'text',
  encode: value => new TextEncoder().encode(String(value)),
  decode: async bytes => new TextDecoder().decode(bytes),
}
const conformanceOptions: ConformanceOptions = {
  create: options => new MapBackend(options),
  seed: undefined,
}
const cases: readonly ConformanceCase[] = conformance(conformanceOptions)

async function main(): Promise<void> {
  await useCache(new RedisBackend(redisOptions))
  await useCache(new MapBackend({ namespace: 'app', now: () => Date.now() }))
  await useCache(new InMemoryBackend({ maxEntries: undefined }))

  const texts = createCache<string>({ backend: new MapBackend(), codec })
  await texts.set('greeting', 'hello')
  assert.equal(await texts.get('greeting'), 'hello')
  await texts.close()

  const uncached = createCache({ backend: undefined })
  assert.equal(await uncached.getOrSet('key', () => 1), 1)
  await uncached.close()

  assert.ok(cases.length > 100)
  await cases[0]?.run()
  assert.equal(typeof HalfABackend, 'function')
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
