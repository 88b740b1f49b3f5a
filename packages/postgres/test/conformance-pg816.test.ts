import { conformance } from '@cachekit/core/conformance'
import { describeService } from '@cachekit/testing'
import type { Pool as PoolType } from 'pg'
// @ts-expect-error the types are those of pg, which this is
import { Pool } from 'pg816'
import { PostgresBackend } from '../src/index.ts'

// The oldest pg that package.json allows, as a pool that is passed in.
describeService('postgres', ({ url }) => {
  const pools: PoolType[] = []
  afterAll(() => Promise.all(pools.map(pool => pool.end())))

  const create = (options: object): PostgresBackend => {
    const pool: PoolType = new Pool({ connectionString: url, max: 2, idleTimeoutMillis: 100 })
    pool.on('error', () => {}) // the backend listens only until it is closed
    pools.push(pool)
    return new PostgresBackend({ client: pool, ...options })
  }
  for (const { title, run, timeout } of conformance({ create })) test(title, run, timeout)
})
