// What the tests of every backend's outages need: one call of each kind, a judgement on how calls settle, and the cases that
// are the same for every store.
import { setTimeout as sleep } from 'node:timers/promises'
import { type CacheBackend, CacheError } from '@cachekit/core'
import type { Server } from '@cachekit/testing'

/** Milliseconds that the backends under test give a call. */
export const timeout = 1000
/** When a call must have settled at the latest. */
export const limit: number = 1.2 * timeout
/** How soon after an outage a backend must serve again. */
export const recovery = 2000

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value)
export const range = (length: number): string[] => Array.from({ length }, (_, index) => `key-${index}`)

export interface Settled {
  readonly values: unknown[]
  readonly errors: CacheError[]
}

/** What became of the calls; fails unless each settled within the limit, by a `CacheError` if at all. */
export async function settled(calls: Promise<unknown>[]): Promise<Settled> {
  const start = performance.now()
  const late: number[] = []
  const results = await Promise.allSettled(
    calls.map(call =>
      call.finally(() => {
        const duration = performance.now() - start
        if (duration > limit) late.push(duration)
      }),
    ),
  )
  expect(late).toEqual([])
  const errors = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []))
  for (const error of errors) expect(error).toBeInstanceOf(CacheError)
  return { values: results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : [])), errors }
}

/** Calls until the call resolves, at most for `patience` milliseconds; every rejection must be one of an outage. */
export async function worksAgain<T>(call: () => Promise<T>, patience: number = recovery): Promise<T> {
  const end = performance.now() + patience
  for (;;) {
    try {
      return await call()
    } catch (error) {
      expect(['CACHE_UNAVAILABLE', 'CACHE_TIMEOUT']).toContain((error as CacheError).code)
      if (performance.now() > end) throw error
      await sleep(20)
    }
  }
}

/** One call of each kind of operation. */
export const operations: Readonly<Record<string, (backend: CacheBackend) => Promise<unknown>>> = {
  get: backend => backend.get('key-0'),
  getEntry: backend => backend.getEntry('key-0'),
  getMany: backend => backend.getMany(range(10)),
  has: backend => backend.has('key-0'),
  set: backend => backend.set('written', bytes('1')),
  setMany: backend => backend.setMany(range(10).map(key => [`written ${key}`, bytes('1')])),
  add: backend => backend.add('added', bytes('1')),
  compareAndSet: backend => backend.compareAndSet('key-0', bytes('x'), bytes('y')),
  compareAndDelete: backend => backend.compareAndDelete('key-0', bytes('x')),
  increment: backend => backend.increment('counter'),
  touch: backend => backend.touch('key-0', { ttl: undefined }),
  delete: backend => backend.delete('absent'),
  deleteMany: backend => backend.deleteMany(['absent']),
  clear: backend => backend.namespace('empty').clear(),
  keys: async backend => {
    for await (const _ of backend.namespace('empty').keys());
  },
}
export const writes: readonly string[] = [
  'set',
  'setMany',
  'add',
  'compareAndSet',
  'compareAndDelete',
  'increment',
  'touch',
  'delete',
]

/** All of them that the backend has, at once. */
export const callAll = (backend: CacheBackend): Promise<unknown>[] =>
  Object.entries(operations)
    .filter(([name]) => name !== 'keys' || backend.supports.iteration)
    .map(([, call]) => call(backend))

/** A store whose server can be killed. */
export interface OutageStore {
  /** A server for one case alone, which ends with it. */
  start(): Promise<Server>
  /** A backend on it with `timeout`, which ends with the case. */
  open(server: Server): CacheBackend
  /** The same with a timeout of 300 ms and a client that is passed in, where such a client sends nothing again. */
  openPassed?(server: Server): CacheBackend
  /** Resolves when a server that was started again can serve. Default: at once. */
  ready?(server: Server): Promise<unknown>
  /** Whether a killed server comes back with what it had. */
  readonly keeps: boolean
  /** How many calls at a time its server answers well within the timeout. Default: 50. */
  readonly callers?: number
}

/** The cases, for `describeService`. */
export function outageCases(store: OutageStore): void {
  const { start, open, openPassed, ready, keeps, callers = 50 } = store

  test('a server that starts after the backend is used as soon as it is there', () => startLate(store), 120_000)

  test('a server killed under load leaves no call behind', async () => {
    const server = await start()
    const backend = open(server)
    const keys = range(callers)
    await backend.setMany(keys.map(key => [key, bytes(key)]))
    let over = false
    const workers = keys.map(async key => {
      let count = 0
      for (; !over; count++) {
        const { values } = await settled([backend.get(key)])
        for (const value of values) expect(keeps ? [key] : [key, undefined]).toContain(text(value as Uint8Array))
        await sleep(5)
      }
      return count
    })
    await sleep(200)
    await server.kill()
    await sleep(200)
    await server.restart()
    await ready?.(server)
    await sleep(200)
    over = true
    expect(Math.min(...(await Promise.all(workers)))).toBeGreaterThan(2)
    expect(text(await worksAgain(() => backend.get('key-0')))).toBe(keeps ? 'key-0' : undefined)
  }, 120_000)

  test('a frozen server costs every call its timeout, and no answer reaches another call after it', async () => {
    const server = await start()
    const backend = open(server)
    const keys = range(50)
    await backend.setMany(keys.map(key => [key, bytes(key)]))
    await server.freeze()
    for (let round = 0; round < 2; round++) {
      const { values, errors } = await settled([...callAll(backend), ...keys.map(key => backend.get(key))])
      expect(values).toEqual([])
      for (const error of errors) expect(['CACHE_TIMEOUT', 'CACHE_UNAVAILABLE']).toContain(error.code)
    }
    // Under way while the server thaws: these may be answered or not, but only by what is theirs.
    const thawing = keys.map(key => backend.get(key).then(text, () => key))
    await server.resume()
    expect(await Promise.all(thawing)).toEqual(keys)
    expect(text(await worksAgain(() => backend.get('key-7')))).toBe('key-7')
    expect(await Promise.all(keys.map(async key => text(await backend.get(key))))).toEqual(keys)
    expect((await backend.getMany(keys)).map(text)).toEqual(keys)
  }, 120_000)

  test('after a restart everything works again', async () => {
    const server = await start()
    const backend = open(server)
    await Promise.all(callAll(backend))
    await server.restart()
    await ready?.(server)
    await worksAgain(() => backend.get('k'))
    const { errors } = await settled(callAll(backend))
    expect(errors).toEqual([])
    expect(await backend.increment('counter')).toBe(keeps ? 3 : 2)
    await backend.set('k', bytes('1'))
    expect(await backend.compareAndSet('k', bytes('1'), bytes('2'))).toBe(true)
  }, 120_000)

  if (openPassed === undefined) return
  test('late answers reach nobody on a client that was passed in, either', async () => {
    const server = await start()
    const backend = openPassed(server)
    const keys = range(20)
    await backend.setMany(keys.map(key => [key, bytes(key)]))
    await server.freeze()
    const { errors } = await settled(keys.map(key => backend.get(key)))
    expect(new Set(errors.map(error => error.code))).toEqual(new Set(['CACHE_TIMEOUT']))
    await server.resume()
    const answers = await Promise.all(keys.toReversed().map(key => worksAgain(() => backend.get(key))))
    expect(answers.map(text)).toEqual(keys.toReversed())
  }, 120_000)
}

/** A backend that is there before its server. */
export async function startLate({ start, open, ready }: Pick<OutageStore, 'start' | 'open' | 'ready'>): Promise<void> {
  const server = await start()
  await server.stop()
  const backend = open(server)
  for (let round = 0; round < 3; round++) {
    const { values, errors } = await settled(callAll(backend))
    expect(values).toEqual([])
    expect(new Set(errors.map(error => error.code))).toEqual(new Set(['CACHE_UNAVAILABLE']))
    for (const error of errors.filter(each => writes.includes(each.operation ?? ''))) {
      expect([error.operation, error.outcome]).toEqual([error.operation, 'not-applied'])
    }
  }
  await server.restart()
  await ready?.(server)
  expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
}
