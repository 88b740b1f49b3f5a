import type { MemoryStore } from './memory-store.ts'

export interface SweepOptions {
  /** Milliseconds from one look to the next, give or take a tenth. */
  readonly interval: number
  /** How many entries may be removed at a time; other work goes on between. */
  readonly batchSize: number
}

/** Removes expired entries now and then. There is no timer while nothing can expire. */
export class Sweep {
  readonly #store: MemoryStore
  readonly #interval: number
  readonly #batchSize: number
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined

  constructor(store: MemoryStore, { interval, batchSize }: SweepOptions) {
    this.#store = store
    this.#interval = interval
    this.#batchSize = batchSize
  }

  /** There is something that can expire. */
  start(): void {
    // Jitter keeps many caches, all started at once, from sweeping at once.
    this.#timer ??= setTimeout(() => this.#run(), this.#interval * (0.9 + 0.2 * Math.random())).unref()
  }

  stop(): void {
    clearTimeout(this.#timer as NodeJS.Timeout)
    clearImmediate(this.#timer as NodeJS.Immediate)
    this.#timer = undefined
  }

  #run(): void {
    this.#timer = undefined
    if (this.#store.removeExpired(this.#batchSize) === this.#batchSize) {
      this.#timer = setImmediate(() => this.#run()).unref()
    } else if (this.#store.expiring > 0) {
      this.start()
    }
  }
}
