export type {
  BackendEntry,
  BackendSupports,
  CacheBackend,
  LiveEntry,
  LiveStore,
  NewEntry,
  StoredEntry,
  WriteOptions,
} from './backend.ts'
export type { Deadline } from './backend-view.ts'
export { type BackendOptions, BaseBackend, type BatchItem, type BatchLimits } from './base-backend.ts'
export type { CacheBus } from './bus.ts'
export {
  type Awaitable,
  type BulkLoader,
  type Cache,
  type CacheDefaults,
  type CacheEntry,
  type CacheOptions,
  createCache,
  type Loader,
  type LoadOptions,
  type SetOptions,
  type StandardSchema,
  type WrapOptions,
  type Wrapped,
} from './cache.ts'
export { type CachedDecorator, type CachedOptions, cached, cachedMethod } from './cached.ts'
export type { Codec } from './codec.ts'
export { addToCounter, counterOverflow, notACounter, toCounter } from './counter.ts'
export { defaultCodec } from './default-codec.ts'
export { type DriverError, isDriverError, withoutDetails } from './driver-errors.ts'
export type { Duration, Ttl } from './duration.ts'
export {
  CacheError,
  type CacheErrorCode,
  type CacheErrorFields,
  describeArgument,
  invalidArgument,
  isCacheError,
} from './errors.ts'
export type { CacheEvents, CacheStats } from './events.ts'
export type { Progress } from './lifecycle.ts'
export { NativeBackend } from './native-backend.ts'
export { fitId, rootPrefix, splitId, toId } from './physical-id.ts'
