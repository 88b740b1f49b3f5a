import { setTimeout as sleep } from 'node:timers/promises'

/** When a call ran, by the clock that decides: it began at `start` and had settled at `end`. */
export interface Interval {
  readonly start: number
  readonly end: number
}

/**
 * The clock that decides about deadlines. Where it is the caller's, it stands still until a case moves it, and every
 * answer is exact. Where it is the store's, time passes by itself, and what is not certain is not judged.
 */
export class Clock {
  #frozen: number | undefined

  /** For the option `now` of a backend. */
  readonly now = (): number => this.#frozen ?? Date.now()

  /** The backend goes by `now`: from here on only `pass` moves it. Never back, as real stores see real time, too. */
  freeze(): void {
    this.#frozen ??= Date.now()
  }

  get isFrozen(): boolean {
    return this.#frozen !== undefined
  }

  /**
   * How far the store's clock and ours may part in the short time of a case, in ms. Both show whole milliseconds.
   */
  get slack(): number {
    return this.isFrozen ? 0 : 3
  }

  /** The time of day, as stores go by it: where it is set while a case runs, the store's is likely to be the same clock. */
  time(): number {
    return this.now()
  }

  /** Resolves once the clock shows `instant` (of `time()`), and certainly does so at the store. */
  async passTo(instant: number): Promise<void> {
    if (this.#frozen !== undefined) {
      this.#frozen = Math.max(this.#frozen, instant)
      return
    }
    for (let left = instant - Date.now(); left > 0; left = instant - Date.now()) await sleep(Math.ceil(left))
  }

  pass(milliseconds: number): Promise<void> {
    return this.passTo(this.time() + milliseconds + this.slack)
  }

  async measure<T>(call: () => Promise<T>): Promise<{ answer: T; during: Interval }> {
    const start = this.time()
    const answer = await call()
    return { answer, during: { start, end: this.time() } }
  }

  /** Whether an entry that was `written` with this ttl is there for a call that ran `during` that interval. */
  isVisible(written: Interval, ttl: number, during: Interval): boolean | 'either' {
    if (during.end < written.start + ttl - this.slack) return true
    return during.start >= written.end + ttl + this.slack ? false : 'either'
  }
}
