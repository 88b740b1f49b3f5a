import type { Size } from './suite.ts'

/** Lifetime of every entry of every library, in milliseconds: long enough that none expires while a suite runs. */
export const ttl = 3_600_000

/** Milliseconds that CacheKit waits for a store here: on a busy machine a call that gave up would end the run. */
export const patience = 60_000

/** The bound of every library that has one; no key is ever evicted. */
export const maxEntries = 10_000

/** How many keys one `getMany` reads. */
export const batchSize = 100

/** What libraries get as a loader: a hit calls none. */
export async function load(): Promise<never> {
  throw new Error('A loader ran, so this was no hit.')
}

export function keysOf(size: Size, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `bench:${size === 'small' ? 'user' : 'profile'}:${index}`)
}

/** The object cached under the key with this index. All of it survives JSON, so that no library has to work harder. */
export function makeValue(size: Size, index: number): unknown {
  const user = { id: index, name: `user ${index}` }
  return size === 'small' ? user : { ...user, ...profile(index) }
}

function profile(index: number): object {
  return {
    email: `user.${index}@example.org`,
    active: index % 3 !== 0,
    createdAt: '2024-05-17T09:30:00.000Z',
    address: { street: `${index} Long Lane`, city: 'Reykjavík', postcode: '101', position: [64.1466, -21.9426] },
    roles: ['reader', 'author', 'reviewer'],
    settings: { language: 'is', theme: 'dark', newsletter: false, pageSize: 50, timeZone: 'Atlantic/Reykjavik' },
    orders: Array.from({ length: 8 }, (_, order) => ({
      id: `${index}-${order}`,
      placed: '2025-01-02T03:04:05.678Z',
      items: order + 1,
      total: 19.99 * (order + 1),
    })),
  }
}

/** The items in an order that is the same at every run and follows no pattern. */
export function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items]
  let seed = 1
  for (let last = result.length - 1; last > 0; last--) {
    seed = (seed * 48_271) % 0x7fffffff // Park and Miller's minimal standard generator
    const other = seed % (last + 1)
    ;[result[last], result[other]] = [result[other] as T, result[last] as T]
  }
  return result
}
