import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { type Cache, type CacheBackend, createCache } from '@cachekit/core'
import type { NearbyPlace, Origin, Place } from './origin.ts'

export interface Answer {
  readonly place: Place
  readonly nearest: readonly NearbyPlace[]
  /** Whether it was in the cache, or had to be loaded (by this request or by another one that it waited for). */
  readonly hit: boolean
  readonly milliseconds: number
}

export interface Metrics {
  readonly requests: number
  readonly hits: number
  readonly misses: number
  /** Queries that the origin ran. Fewer than the misses when requests for one place came together. */
  readonly loads: number
  /** Latency in milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** The service: answers from the cache, else from the origin, and counts. */
export class PlacesService {
  readonly #origin: Origin
  readonly #cache: Cache
  readonly #nearest: Cache<NearbyPlace[]>
  readonly #latency: RecordableHistogram = createHistogram()
  readonly #loadedAt = new Map<number, number>()
  #hits = 0
  #loads = 0

  /** Without a backend nothing is cached: the same code, the query at every request. */
  constructor(origin: Origin, backend: CacheBackend | undefined) {
    this.#origin = origin
    this.#cache = createCache({ backend, ttl: '1h' })
    this.#nearest = this.#cache.namespace<NearbyPlace[]>('nearest')
  }

  /** Connects to the store; rejects if it is not there. */
  open(): Promise<void> {
    return this.#cache.open()
  }

  /** The places nearest to a place; `undefined` if there is no place with this id. */
  async nearest(id: number): Promise<Answer | undefined> {
    const place = this.#origin.place(id)
    if (!place) return undefined
    const start = performance.now()
    const nearest = await this.#nearest.getOrSet(String(id), () => this.#load(id))
    const milliseconds = performance.now() - start
    const hit = (this.#loadedAt.get(id) ?? -1) < start
    if (hit) this.#hits++
    this.#latency.record(Math.max(1, Math.round(milliseconds * 1e6)))
    return { place, nearest, hit, milliseconds }
  }

  #load(id: number): NearbyPlace[] {
    this.#loads++
    const nearest = this.#origin.nearest(id)
    this.#loadedAt.set(id, performance.now())
    return nearest
  }

  /** Removes everything that this app has cached, and nothing else that lives in the store. */
  clear(): Promise<void> {
    return this.#cache.clear()
  }

  get metrics(): Metrics {
    const requests = this.#latency.count
    return {
      requests,
      hits: this.#hits,
      misses: requests - this.#hits,
      loads: this.#loads,
      p50: this.#latency.percentile(50) / 1e6,
      p99: this.#latency.percentile(99) / 1e6,
    }
  }

  close(): Promise<void> {
    return this.#cache.close()
  }
}
