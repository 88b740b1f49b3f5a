// Random operations on caches that share a store, and a judgement on what they saw.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache } from '@cachekit/core'
import { Random } from '../../src/conformance/random.ts'

/** From whom a value is: of a loader when it was called, in microseconds; or of a call of `set` or `add`, which one. */
type Value = { readonly born: number } | { readonly written: string }

/** What happened, in microseconds by a clock that all processes of the machine share. */
export interface Seen {
  /** What ended without an error. Without a key: what has the tag, which is every key. */
  readonly invalidations: {
    readonly key?: string | undefined
    readonly start: number
    readonly end: number
    /** The value that it wrote. */
    readonly written?: string | undefined
  }[]
  readonly reads: { readonly key: string; readonly start: number; readonly value: Value }[]
  operations: number
  loads: number
  /** Calls that rejected for another reason than their loader. */
  readonly failures: string[]
}

export const nothingSeen = (): Seen => ({ invalidations: [], reads: [], operations: 0, loads: 0, failures: [] })

export interface RandomOperations {
  readonly calls: number
  readonly seed: number
  /** Tells the values of one client from those of others. */
  readonly client: string
}

const keys = ['key0', 'key1', 'key2']
const tags = ['tag']
const now = (): number => Number(process.hrtime.bigint() / 1000n)

class OriginDown extends Error {}

/** Runs random operations on few keys, eight at a time. */
export async function randomOperations(cache: Cache, { calls, seed, client }: RandomOperations): Promise<Seen> {
  const random = new Random(seed)
  const seen = nothingSeen()
  let writes = 0

  /** Takes no time, a moment, or long enough to meet much of what others do. */
  const load = async (): Promise<Value> => {
    const born = now()
    seen.loads++
    const [pause, fails] = [random.below(20) === 0 ? 60 : random.below(8), random.below(30) === 0]
    if (pause > 0) await sleep(pause)
    if (fails) throw new OriginDown()
    return { born }
  }
  const read = (start: number, key: string, value: unknown): void => {
    if (value !== undefined) seen.reads.push({ key, start, value: value as Value })
  }
  const invalidate = async (of: string | undefined, call: () => Promise<unknown>, written?: string): Promise<void> => {
    const start = now()
    await call()
    seen.invalidations.push({ key: of, start, end: now(), written })
  }

  const one = async (): Promise<void> => {
    const key = random.pick(keys)
    const start = now()
    const written = `${client} ${++writes}`
    // Short ones end while others use them; stale entries are refreshed beside their readers.
    const options = random.pick([
      { tags, ttl: '1m' },
      { tags, ttl: 20 },
      { tags, ttl: 5, staleWhileRevalidate: '1m' },
    ] as const)
    switch (random.below(16)) {
      case 0:
        return invalidate(key, () => cache.delete(key))
      case 1:
        return invalidate(key, () => cache.set(key, { written }, { tags, ttl: random.pick([20, 60_000]) }), written)
      case 2:
      case 3:
        return invalidate(undefined, () => cache.deleteByTag('tag'))
      case 4:
        if (random.below(5) > 0) return invalidate(key, () => cache.deleteMany([key]))
        return invalidate(undefined, () => cache.clear())
      case 5:
        return read(start, key, await cache.get(key))
      case 6: {
        const found = await cache.getMany(keys)
        return keys.forEach((each, index) => {
          read(start, each, found[index])
        })
      }
      case 7:
      case 8: {
        const some = keys.filter(each => each !== key)
        const bulk = async (missing: readonly string[]): Promise<Map<string, Value>> => {
          const value = await load()
          return new Map(missing.map(each => [each, value]))
        }
        const found = await cache.getOrSetMany(some, bulk, options)
        return some.forEach((each, index) => {
          read(start, each, found[index])
        })
      }
      default:
        return read(start, key, await cache.getOrSet(key, load, { ...options, refresh: random.below(20) === 0 }))
    }
  }

  const worker = async (): Promise<void> => {
    while (seen.operations < calls) {
      seen.operations++
      try {
        await one()
      } catch (error) {
        if (!(error instanceof OriginDown)) seen.failures.push(String(error))
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return seen
}

/**
 * What contradicts the invariant: no call that starts after an invalidation has ended answers a value whose loader was
 * called before it began. A value that was written is as old as its write.
 */
export function violations(seen: readonly Seen[]): string[] {
  const invalidations = seen.flatMap(each => each.invalidations)
  const writtenAt = new Map(invalidations.map(({ written, end }) => [written, end]))
  const found: string[] = []
  for (const key of keys) {
    const ended = invalidations.filter(each => (each.key ?? key) === key).sort((a, b) => a.end - b.end)
    const reads = seen.flatMap(each => each.reads).filter(each => each.key === key)
    let next = 0
    // The latest beginning among the invalidations that had ended.
    let latest = 0
    for (const { start, value } of reads.sort((a, b) => a.start - b.start)) {
      for (; next < ended.length && (ended[next]?.end as number) < start; next++) {
        latest = Math.max(latest, ended[next]?.start as number)
      }
      // Who wrote a value and was killed cannot say when that was.
      const born = 'born' in value ? value.born : (writtenAt.get(value.written) ?? Number.POSITIVE_INFINITY)
      if (born < latest)
        found.push(`${key}: a read at ${start} answered a value from ${born}, invalidated at ${latest}`)
    }
  }
  return found
}
