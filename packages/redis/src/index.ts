export type { RedisClient } from './client.ts'
export { RedisBackend, type RedisBackendOptions } from './redis-backend.ts'
export { RedisBus, type RedisBusOptions } from './redis-bus.ts'
