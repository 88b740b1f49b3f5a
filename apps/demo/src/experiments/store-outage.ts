import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { isCacheError } from '@cachekit/core'
import type { Place } from '../origin.ts'
import type { PlacesService } from '../places-service.ts'

/** The part of a server that is needed to stop it without warning, with its connections open, and to let it go on. */
export interface StoppableServer {
  freeze(): Promise<void>
  resume(): Promise<void>
}

/**
 * How many places are cached before, and how often one of them is asked for, in milliseconds: seldom enough that the
 * origin, which takes one query after the other, keeps up when it gets them all.
 */
const placeCount = 20
const interval = 50

/** How long after its start the store may take to be seen answering, and how long it is then watched, in milliseconds. */
const patience = 10_000
const watched = 1000

export interface StoreOutageFigures {
  /** Answers while the store was stopped: those that were loaded, those from the store, and failures. */
  loaded: number
  hits: number
  errors: number
  /** Latency of the very first one in milliseconds. */
  first?: number
  /** Answers to what was asked when the breaker was open, and their latency in milliseconds. */
  breaker?: { readonly answers: number; readonly median: number; readonly slowest: number }
  /** Since it was started again. */
  started?: {
    /** Milliseconds until the first answer from the store. */
    firstHit?: number
    hits: number
    loaded: number
    errors: number
  }
}

/** The store's server is stopped and started again while the service is asked on and on. */
export class StoreOutage {
  figures: StoreOutageFigures | undefined
  running = true
  readonly #server: StoppableServer
  readonly #service: PlacesService
  #places: Place[] = []
  #breakerIsOpen = false
  #behindBreaker: RecordableHistogram = createHistogram()
  #startedAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(server: StoppableServer, service: PlacesService) {
    this.#server = server
    this.#service = service
    service.cache.on('failure', ({ error }) => {
      // A stopped server is waited for in vain; only an open breaker says at once that the store is not there.
      if (isCacheError(error, 'CACHE_UNAVAILABLE')) this.#breakerIsOpen = true
    })
  }

  async stop(): Promise<void> {
    if (!this.running) return
    this.end()
    this.#places = this.#service.unknownPlaces(placeCount)
    await Promise.all(this.#places.map(({ id }) => this.#service.nearest(id)))
    await this.#server.freeze()
    this.running = false
    this.#breakerIsOpen = false
    this.#behindBreaker = createHistogram()
    this.figures = { loaded: 0, hits: 0, errors: 0 }
    this.#askOn()
  }

  /** Resolves when answers have come from the store for a while, or it is clear that none will. */
  async start(): Promise<void> {
    if (this.running) return
    const started: StoreOutageFigures['started'] = { hits: 0, loaded: 0, errors: 0 }
    this.#startedAt = performance.now()
    Object.assign(this.figures as StoreOutageFigures, { started })
    await this.#server.resume()
    this.running = true
    const deadline = this.#startedAt + patience
    while (started.hits === 0 && performance.now() < deadline) await sleep(interval)
    await sleep(watched)
    this.end()
  }

  /** Asks no more. */
  end(): void {
    clearInterval(this.#timer)
  }

  #askOn(): void {
    let requests = 0
    this.#timer = setInterval(() => {
      this.#ask(this.#places[requests++ % placeCount] as Place)
    }, interval)
  }

  async #ask({ id }: Place): Promise<void> {
    const { figures } = this
    if (!figures) return
    const behindBreaker = this.#breakerIsOpen
    const { started } = figures
    const answer = await this.#service.nearest(id).catch(() => undefined)
    const counted = started ?? figures
    if (!answer) counted.errors++
    else if (answer.outcome === 'miss') counted.loaded++
    else counted.hits++
    if (!answer) return
    if (started) {
      if (answer.outcome === 'hit') started.firstHit ??= performance.now() - this.#startedAt
      return
    }
    figures.first ??= answer.milliseconds
    if (!behindBreaker) return
    this.#behindBreaker.record(Math.max(1, Math.round(answer.milliseconds * 1e6)))
    const { count, max } = this.#behindBreaker
    figures.breaker = { answers: count, median: this.#behindBreaker.percentile(50) / 1e6, slowest: max / 1e6 }
  }
}
