import type { ServiceDefinition, ServiceName } from '../service.ts'
import { dynamodb } from './dynamodb.ts'
import { firestore } from './firestore.ts'
import { memcached } from './memcached.ts'
import { mongodb } from './mongodb.ts'
import { postgres } from './postgres.ts'
import { redis } from './redis.ts'

export const definitions: Readonly<Record<ServiceName, ServiceDefinition>> = {
  redis,
  postgres,
  memcached,
  mongodb,
  dynamodb,
  firestore,
}
