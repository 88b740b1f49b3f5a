import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds of the first pause, and of the longest. */
const PAUSE = { first: 25, longest: 400 }

/**
 * Pauses between attempts that grow, with full jitter, until the patience is at its end:
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export class Backoff {
  readonly #patience: number
  #pause: number = PAUSE.first
  #end: number

  /** @param patience Milliseconds that may pass without success. */
  constructor(patience: number) {
    this.#patience = patience
    this.#end = performance.now() + patience
  }

  /** Something was achieved: from the beginning. */
  reset(): void {
    this.#pause = PAUSE.first
    this.#end = performance.now() + this.#patience
  }

  /** Resolves after a pause; to `false`, and at once, if it would take longer than the patience. */
  async wait(): Promise<boolean> {
    const pause = Math.random() * this.#pause
    if (performance.now() + pause > this.#end) return false
    this.#pause = Math.min(2 * this.#pause, PAUSE.longest)
    await sleep(pause)
    return true
  }
}
