import type { BackendSupports, CacheBackend } from './backend.ts'
import { invalidArgument } from './errors.ts'

/**
 * Stores nothing: what a cache with `backend: undefined` stands on. The cache checks keys, times and its own life cycle,
 * so this need not be a `BaseBackend`, which is a quarter of what a bundle would get with `createCache`.
 */
export class NoBackend implements CacheBackend {
  readonly name = 'none'
  readonly supports: BackendSupports = Object.freeze({
    maxValueBytes: Number.MAX_SAFE_INTEGER,
    clock: 'caller',
    persistent: false,
    shared: false,
    evicts: true,
    iteration: true,
  })

  async get(): Promise<undefined> {}

  async getEntry(): Promise<undefined> {}

  async getMany(keys: readonly string[]): Promise<undefined[]> {
    return keys.map(() => undefined)
  }

  async has(): Promise<boolean> {
    return false
  }

  async set(): Promise<void> {}

  async setMany(): Promise<void> {}

  async add(): Promise<boolean> {
    return true
  }

  async compareAndSet(): Promise<boolean> {
    return false
  }

  async compareAndDelete(): Promise<boolean> {
    return false
  }

  async increment(_key: string, by = 1): Promise<number> {
    if (!Number.isSafeInteger(by)) throw invalidArgument('by must be a safe integer.')
    return by
  }

  async touch(): Promise<boolean> {
    return false
  }

  async delete(): Promise<boolean> {
    return false
  }

  async deleteMany(): Promise<void> {}

  async clear(): Promise<void> {}

  async *keys(): AsyncGenerator<string> {}

  namespace(): CacheBackend {
    return this
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
