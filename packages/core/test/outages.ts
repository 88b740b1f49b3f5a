// What the tests of every backend's outages need: one call of each kind, and a judgement on how calls settle.
import { setTimeout as sleep } from 'node:timers/promises'
import { type CacheBackend, CacheError } from '@cachekit/core'

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
