import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { type Cache, type CacheBackend, createCache, type LoadOptions } from '@cachekit/core'
import type { NearbyPlace, Origin, Place } from './origin.ts'

/**
 * Where an answer came from: the cache; the cache, past its ttl, because loading it anew failed; or a load, by this
 * request or by another one that it waited for.
 */
export type Outcome = 'hit' | 'stale' | 'miss'

export interface Answer {
  readonly place: Place
  readonly nearest: readonly NearbyPlace[]
  readonly outcome: Outcome
  readonly milliseconds: number
}

/** A request that was answered, or failed, for the page. */
export interface RecentAnswer extends Place {
  /** Counts the requests, from 1. */
  readonly number: number
  readonly outcome: Outcome | 'error'
  readonly milliseconds: number
}

export interface Metrics {
  readonly requests: number
  readonly hits: number
  readonly stale: number
  readonly misses: number
  readonly errors: number
  /** Queries of the origin, also those that failed. Fewer than the misses when requests for one place came together. */
  readonly loads: number
  /** Latency in milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** How many answers are kept for the page. */
const recentLength = 600

/** When a place was loaded, by `performance.now()`. */
interface Loads {
  count: number
  succeededAt: number
  failedAt: number
}

/** The service: answers from the cache, else from the origin, and counts. */
export class PlacesService {
  readonly cache: Cache
  /** The latest answers, the newest last. */
  readonly recent: RecentAnswer[] = []
  readonly #origin: Origin
  readonly #nearest: Cache<NearbyPlace[]>
  readonly #latency: RecordableHistogram = createHistogram()
  readonly #loads = new Map<number, Loads>()
  readonly #counts = { hit: 0, stale: 0, miss: 0, error: 0 }
  #loadCount = 0

  /** Without a backend nothing is cached: the same code, the query at every request. */
  constructor(origin: Origin, backend: CacheBackend | undefined) {
    this.#origin = origin
    this.cache = createCache({ backend, ttl: '1h' })
    this.#nearest = this.cache.namespace<NearbyPlace[]>('nearest')
  }

  /** Connects to the store; rejects if it is not there. */
  open(): Promise<void> {
    return this.cache.open()
  }

  /** The places nearest to a place; `undefined` if there is no place with this id. */
  async nearest(id: number, options?: LoadOptions<NearbyPlace[]>): Promise<Answer | undefined> {
    const place = this.#origin.place(id)
    if (!place) return undefined
    const start = performance.now()
    let outcome: RecentAnswer['outcome'] = 'error'
    try {
      const nearest = await this.#nearest.getOrSet(String(id), () => this.#load(id), options)
      outcome = this.#outcome(id, start)
      return { place, nearest, outcome, milliseconds: performance.now() - start }
    } finally {
      this.#count(place, outcome, performance.now() - start)
    }
  }

  async #load(id: number): Promise<NearbyPlace[]> {
    this.#loadCount++
    const loads = this.#loads.get(id) ?? { count: 0, succeededAt: -1, failedAt: -1 }
    this.#loads.set(id, loads)
    loads.count++
    try {
      const nearest = await this.#origin.nearest(id)
      loads.succeededAt = performance.now()
      return nearest
    } catch (error) {
      loads.failedAt = performance.now()
      throw error
    }
  }

  #outcome(id: number, start: number): Outcome {
    const { succeededAt = -1, failedAt = -1 } = this.#loads.get(id) ?? {}
    if (succeededAt >= start) return 'miss'
    return failedAt >= start ? 'stale' : 'hit'
  }

  #count(place: Place, outcome: RecentAnswer['outcome'], milliseconds: number): void {
    this.#counts[outcome]++
    this.#latency.record(Math.max(1, Math.round(milliseconds * 1e6)))
    this.recent.push({ number: this.#latency.count, ...place, outcome, milliseconds })
    if (this.recent.length > recentLength) this.recent.shift()
  }

  /** How often a place was loaded so far. */
  loadsOf(id: number): number {
    return this.#loads.get(id)?.count ?? 0
  }

  /** Whether the answer for a place lies in the cache. */
  isCached(id: number): Promise<boolean> {
    return this.#nearest.has(String(id))
  }

  /** Removes the answer for a place from the cache, as one does when the data behind it have changed. */
  delete(id: number): Promise<boolean> {
    return this.#nearest.delete(String(id))
  }

  /** Places, chosen at random, that were never asked for. */
  unknownPlaces(count: number): Place[] {
    const ids = new Set<number>()
    while (ids.size < count) {
      const id = Math.floor(Math.random() * this.#origin.size)
      if (!this.#loads.has(id)) ids.add(id)
    }
    return [...ids].map(id => this.#origin.place(id) as Place)
  }

  /** Removes everything that this app has cached, and nothing else that lives in the store. */
  clear(): Promise<void> {
    return this.cache.clear()
  }

  get metrics(): Metrics {
    return {
      requests: this.#latency.count,
      hits: this.#counts.hit,
      stale: this.#counts.stale,
      misses: this.#counts.miss,
      errors: this.#counts.error,
      loads: this.#loadCount,
      p50: this.#latency.percentile(50) / 1e6,
      p99: this.#latency.percentile(99) / 1e6,
    }
  }

  close(): Promise<void> {
    return this.cache.close()
  }
}
