export type { MemcachedClient } from './connection-options.ts'
export { MemcachedBackend, type MemcachedBackendOptions } from './memcached-backend.ts'
