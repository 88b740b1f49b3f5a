// The tables of the guide say what the backends say of themselves in `supports`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CacheBackend } from '@cachekit/core'
import { DynamoDBBackend } from '@cachekit/dynamodb'
import { FirestoreBackend } from '@cachekit/firestore'
import { MemcachedBackend } from '@cachekit/memcached'
import { InMemoryBackend } from '@cachekit/memory'
import { MongoDBBackend } from '@cachekit/mongodb'
import { PostgresBackend } from '@cachekit/postgres'
import { RedisBackend } from '@cachekit/redis'

const guide = readFileSync(join(__dirname, '../choosing-a-backend.md'), 'utf8')

// None of these does any I/O.
const backends: readonly (readonly [name: string, backend: CacheBackend])[] = [
  ['memory', new InMemoryBackend()],
  ['Redis', new RedisBackend()],
  ['PostgreSQL', new PostgresBackend()],
  ['Memcached', new MemcachedBackend()],
  ['MongoDB', new MongoDBBackend()],
  ['Firestore', new FirestoreBackend({ projectId: 'docs' })],
  ['DynamoDB', new DynamoDBBackend()],
]

/** The cells of all rows that begin with this name. */
function rowsOf(name: string): string[][] {
  const cells = guide
    .split('\n')
    .filter(line => line.startsWith('|'))
    .map(line => line.split('|').map(cell => cell.trim().replace(/^\[(.*)\]\(.*\)$/, '$1')))
  return cells.filter(([, first]) => first === name).map(row => row.slice(2))
}

test.each(backends)('%s', async (name, backend) => {
  const [[survive = '', shared, evicted] = [], [clock] = []] = rowsOf(name)
  const { supports } = backend
  expect({ ...supports, maxValueBytes: 0 }).toEqual({
    maxValueBytes: 0,
    persistent: survive.startsWith('yes'), // what depends on the server cannot be relied on
    shared: shared === 'yes',
    evicts: evicted !== 'no',
    clock: clock === "the server's" ? 'store' : 'caller',
    iteration: !guide.includes(`${name} cannot list keys`),
  })
  await backend.close()
})
