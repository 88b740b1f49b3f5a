import type { Contestant, Suite } from '../suite.ts'
import { dynamodb, dynamodbBytes } from './dynamodb.ts'
import { firestore, firestoreBytes } from './firestore.ts'
import { memcached, memcachedBytes } from './memcached.ts'
import { memory, memoryIsolated } from './memory.ts'
import { mongodb, mongodbBytes } from './mongodb.ts'
import { postgres, postgresBytes } from './postgres.ts'
import { redis, redisBytes } from './redis.ts'

/** Another store is one more file in this folder, and its suites in this list. */
export const suites: readonly Suite[] = [
  memory,
  memoryIsolated,
  redis,
  redisBytes,
  postgres,
  postgresBytes,
  memcached,
  memcachedBytes,
  mongodb,
  mongodbBytes,
  firestore,
  firestoreBytes,
  dynamodb,
  dynamodbBytes,
]

export function suiteNamed(name: string): Suite {
  const suite = suites.find(one => one.name === name)
  if (suite === undefined) throw new Error(`There is no suite "${name}".`)
  return suite
}

export function contestantNamed(suite: Suite, name: string): Contestant {
  const contestant = suite.contestants.find(one => one.name === name)
  if (contestant === undefined) throw new Error(`There is no contestant "${name}" in ${suite.name}.`)
  return contestant
}
