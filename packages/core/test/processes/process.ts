// One of several processes that share a store: `process.ts <module> <class> <options as JSON>`. Reads orders from its
// input, a line of JSON each, and answers each by a line.
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CacheBackend, createCache } from '@cachekit/core'
import { Random } from '../../src/conformance/random.ts'

const [module = '', name = '', options = '{}'] = process.argv.slice(2)
const { [name]: Backend } = (await import(module)) as Record<string, new (options: object) => CacheBackend>
if (Backend === undefined) throw new Error(`${module} has no ${name}.`)
const cache = createCache({ backend: new Backend(JSON.parse(options)), ttl: '1m', lease: { ttl: 1000 } })

/** By a clock that all processes of the machine share. */
const now = (): number => Number(process.hrtime.bigint() / 1000n)

interface Order {
  readonly do: 'stampede' | 'random'
  readonly calls: number
  readonly seed?: number
  /** Milliseconds that the loader takes. */
  readonly load?: number
  readonly fails?: boolean
}

const orders = {
  /** Many calls at once for one missing key. */
  async stampede({ calls, load = 50, fails = false }: Order): Promise<object> {
    let loads = 0
    const loader = async (): Promise<number> => {
      loads++
      process.stderr.write('loading\n')
      await sleep(load)
      if (fails) throw new Error('the origin is down')
      return process.pid
    }
    const results = await Promise.allSettled(Array.from({ length: calls }, () => cache.getOrSet('hot', loader)))
    const values = new Set(
      results.map(result => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    )
    return { loads, values: [...values] }
  },

  /** Random operations, eight at a time, on few keys. Answers when they began and ended, and what they saw. */
  async random({ calls, seed = 1 }: Order): Promise<object> {
    const random = new Random(seed)
    const invalidations: object[] = []
    const reads: object[] = []
    let left = calls
    const one = async (): Promise<void> => {
      const key = `key${random.below(3)}`
      const start = now()
      const invalidate = async (tag: boolean, call: Promise<unknown>): Promise<void> => {
        await call
        invalidations.push({ name: `${key}${tag ? ' by tag' : ''}`, key: tag ? undefined : key, start, end: now() })
      }
      switch (random.below(12)) {
        case 0:
          return invalidate(false, cache.delete(key))
        case 1: {
          // Of a value that is set, the birth is when that was done: later than anybody can read it.
          return invalidate(false, cache.set(key, { born: Number.MAX_SAFE_INTEGER }, { tags: ['tag'], ttl: 20 }))
        }
        case 2:
          return invalidate(true, cache.deleteByTag('tag'))
        case 3:
          return invalidate(true, random.below(10) === 0 ? cache.clear() : cache.deleteByTag('tag'))
        default: {
          const pause = random.below(8)
          const loader = async (): Promise<object> => {
            const born = now()
            if (pause > 0) await sleep(pause)
            return { born }
          }
          const value = await cache.getOrSet(key, loader, { tags: ['tag'], refresh: random.below(20) === 0 })
          reads.push({ name: key, key, start, value })
        }
      }
    }
    const worker = async (): Promise<void> => {
      while (left-- > 0) await one()
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    return { invalidations, reads, loads: cache.stats().loads }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order
  console.log(JSON.stringify(await orders[order.do](order)))
}
await cache.close()
