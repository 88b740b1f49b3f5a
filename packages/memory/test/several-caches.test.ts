import { type CacheOptions, createCache } from '@cachekit/core'
import { InMemoryBackend } from '@cachekit/memory'
import { count, operations } from '../../core/test/processes/process-cases.ts'
import { randomOperations, violations } from '../../core/test/processes/random-operations.ts'

// Caches that do not know of each other need leases; one cache alone does not.
describe.each<[caches: number, lease: CacheOptions<unknown>['lease']]>([
  [4, { scope: 'store', ttl: 1000 }],
  [1, undefined],
])('%i caches of one process over one backend, lease %j', (caches, lease) => {
  test.each(['clone', 'share'] as const)(
    `no call answers what was invalidated before it began, in ${operations} random operations (isolation: %s)`,
    async isolation => {
      const backend = new InMemoryBackend({ isolation })
      const seed = Math.floor(Math.random() * 2 ** 31)
      const calls = Math.ceil(operations / caches)
      const seen = await Promise.all(
        Array.from({ length: caches }, (_, index) =>
          randomOperations(createCache({ backend, lease }), { calls, seed: seed + index, client: String(index) }),
        ),
      )
      await backend.close()
      const figures = count(seen)
      if (process.env.CACHEKIT_OPERATIONS !== undefined) process.stdout.write(`${JSON.stringify(figures)}\n`)
      const found = violations(seen)
      expect({ seed, violations: found.length, found: found.slice(0, 3) }).toEqual({ seed, violations: 0, found: [] })
      expect(figures.failures).toBe(0)
      expect(figures.operations).toBeGreaterThanOrEqual(operations)
      expect(Math.min(figures.invalidations, figures.reads, figures.loads)).toBeGreaterThan(operations / 20)
    },
    600_000,
  )
})
