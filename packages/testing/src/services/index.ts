import type { ServiceDefinition, ServiceName } from '../service.ts'

/** Each brings its store's driver, so it is loaded only when it is asked for. */
const definitions: Readonly<Record<ServiceName, () => Promise<ServiceDefinition>>> = {
  redis: async () => (await import('./redis.ts')).redis,
  postgres: async () => (await import('./postgres.ts')).postgres,
  memcached: async () => (await import('./memcached.ts')).memcached,
  mongodb: async () => (await import('./mongodb.ts')).mongodb,
  dynamodb: async () => (await import('./dynamodb.ts')).dynamodb,
  firestore: async () => (await import('./firestore.ts')).firestore,
}

export function definitionOf(name: ServiceName): Promise<ServiceDefinition> {
  return definitions[name]()
}
