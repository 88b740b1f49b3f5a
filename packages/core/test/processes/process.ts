// One of several processes that share a store: `process.ts <module> <class> <options as JSON> <milliseconds of a lease>`.
// Reads orders from its input, a line of JSON each, and answers each by a line.
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CacheBackend, createCache } from '@cachekit/core'
import { randomOperations } from './random-operations.ts'

const [module = '', name = '', options = '{}', leaseTtl] = process.argv.slice(2)
const { [name]: Backend } = (await import(module)) as Record<string, new (options: object) => CacheBackend>
if (Backend === undefined) throw new Error(`${module} has no ${name}.`)
// On a machine so busy that the store takes long, they wait: what is promised here is promised while the store answers.
const cache = createCache({
  backend: new Backend({ timeout: 60_000, ...JSON.parse(options) }),
  ttl: '1m',
  lease: { ttl: Number(leaseTtl) },
  storeTimeout: '1m',
  breaker: false,
})

// Before the first order, so that no process is ahead of the others.
await cache.open()

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

  /** Random operations. Answers what they saw. */
  random({ calls, seed = 1 }: Order): Promise<object> {
    return randomOperations(cache, { calls, seed, client: String(process.pid) })
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order
  console.log(JSON.stringify(await orders[order.do](order)))
}
await cache.close()
