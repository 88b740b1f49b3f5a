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
export { type BackendOptions, BaseBackend } from './base-backend.ts'
export { addToCounter } from './counter.ts'
export { CacheError, type CacheErrorCode, type CacheErrorFields, isCacheError } from './errors.ts'
export type { Progress } from './lifecycle.ts'
export { fitId } from './physical-id.ts'
