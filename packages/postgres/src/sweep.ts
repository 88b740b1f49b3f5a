import { describeArgument, invalidArgument } from '@cachekit/core'

/** How expired entries are removed. */
export interface SweepOptions {
  /** Milliseconds between two sweeps, on average: each pause is between half and one and a half of it. Default: 60,000. */
  readonly interval?: number | undefined
  /** How many entries one statement removes at most. Default: 1000. */
  readonly batchSize?: number | undefined
}

/** Removes expired entries now and then, in the background. */
export class Sweep {
  readonly #interval: number
  readonly #batchSize: number
  readonly #remove: (limit: number) => Promise<number>
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #stopped = false

  /**
   * @param remove Removes at most `limit` expired entries and answers how many.
   * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit.
   */
  constructor(options: SweepOptions, remove: (limit: number) => Promise<number>) {
    if (typeof options !== 'object' || options === null) {
      throw invalidArgument(`sweep must be false or { interval, batchSize }, not ${describeArgument(options)}.`)
    }
    const { interval = 60_000, batchSize = 1000 } = options
    // A timer takes 2^31 - 1 ms, and the longest pause is one and a half of this.
    if (!(typeof interval === 'number' && interval > 0 && interval <= 1_000_000_000)) {
      throw invalidArgument(
        `sweep.interval must be a number of milliseconds between 0 and 1000000000, not ${describeArgument(interval)}.`,
      )
    }
    if (!(Number.isSafeInteger(batchSize) && batchSize > 0)) {
      throw invalidArgument(`sweep.batchSize must be a positive integer, not ${describeArgument(batchSize)}.`)
    }
    this.#interval = interval
    this.#batchSize = batchSize
    this.#remove = remove
  }

  /** Begins, unless it has begun: the first sweep comes after a pause. */
  start(): void {
    if (this.#timer !== undefined || this.#stopped) return
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  #schedule(): void {
    this.#timer = setTimeout(
      () => {
        this.#running = this.#sweep().finally(() => {
          if (!this.#stopped) this.#schedule()
        })
      },
      this.#interval * (0.5 + Math.random()),
    ).unref()
  }

  async #sweep(): Promise<void> {
    try {
      while (!this.#stopped && (await this.#remove(this.#batchSize)) === this.#batchSize);
    } catch {
      // Nobody waits for it, and what has expired is invisible anyway. The next sweep tries again.
    }
  }
}
