import type { Awaitable } from './cache.ts'
import { Deadlines, PendingCall } from './deadlines.ts'
import { CacheError, isCacheError } from './errors.ts'
import { isThenable } from './record-store.ts'

/**
 * Between the cache and its store: gives up on answers that take too long, and stops asking a store that fails. After
 * `failures` outages in a row every call fails at once, until a probe, made every `retryAfter` milliseconds while there
 * are calls, gets an answer: so no user's call has to try out whether the store is back.
 */
export class StoreGuard {
  readonly #name: string
  readonly #patience: number
  readonly #deadlines: Deadlines
  /** `Infinity`: there is no breaker. */
  readonly #failures: number
  readonly #retryAfter: number
  readonly #probe: () => Promise<unknown>
  #failed = 0
  /** When to probe next, by `performance.now()`. `undefined`: the store is asked as usual. */
  #probeAt: number | undefined

  constructor(
    name: string,
    patience: number,
    breaker: { readonly failures: number; readonly retryAfter: number },
    probe: () => Promise<unknown>,
  ) {
    this.#name = name
    this.#patience = patience
    this.#deadlines = new Deadlines(patience)
    this.#failures = breaker.failures
    this.#retryAfter = breaker.retryAfter
    this.#probe = probe
  }

  /** Whether calls fail at once. */
  get open(): boolean {
    return this.#probeAt !== undefined
  }

  /** The answer of the store. `CACHE_UNAVAILABLE` where there is no point in asking. */
  async ask<T>(call: () => Awaitable<T>): Promise<T> {
    this.#assertAsked()
    try {
      const answer = await call()
      this.#failed = 0
      return answer
    } catch (error) {
      this.#count(error)
      throw error
    }
  }

  /** The same, as long as `getOrSet` has patience with the store and its caller waits. */
  askPatiently<T>(call: () => Awaitable<T>, signal?: AbortSignal | undefined): Awaitable<T> {
    this.#assertAsked()
    const answer = call()
    if (!isThenable(answer)) return answer
    return new Promise<T>((resolve, reject) => {
      const fail = (error: unknown): void => {
        this.#count(error)
        reject(error)
      }
      const pending = new PendingCall(this, () => {
        this.#deadlines.remove(pending)
        const message = `No answer from ${this.#name} within the storeTimeout of ${this.#patience} ms.`
        fail(new CacheError({ code: 'CACHE_TIMEOUT', message, backend: this.#name }))
      })
      const leave = (): void => reject(signal?.reason)
      const done = (): boolean => {
        const inTime = pending.pending
        this.#deadlines.remove(pending)
        signal?.removeEventListener('abort', leave)
        return inTime
      }
      this.#deadlines.add(pending)
      signal?.addEventListener('abort', leave, { once: true })
      answer.then(
        value => {
          if (done()) this.#failed = 0
          resolve(value)
        },
        error => {
          if (done()) fail(error)
        },
      )
    })
  }

  stop(): void {
    this.#deadlines.stop()
  }

  #assertAsked(): void {
    if (this.#probeAt === undefined) return
    if (performance.now() >= this.#probeAt) {
      this.#probeAt = Number.POSITIVE_INFINITY
      this.#probe().then(
        () => {
          this.#probeAt = undefined
          this.#failed = 0
        },
        error => {
          this.#probeAt = isOutage(error) ? performance.now() + this.#retryAfter : undefined
        },
      )
    }
    throw new CacheError({
      code: 'CACHE_UNAVAILABLE',
      message: `${this.#name} failed ${this.#failed} times in a row and is not asked until a probe is answered.`,
      backend: this.#name,
      outcome: 'not-applied',
    })
  }

  #count(error: unknown): void {
    if (!isOutage(error)) {
      this.#failed = 0
    } else if (++this.#failed >= this.#failures) {
      this.#probeAt ??= performance.now() + this.#retryAfter
    }
  }
}

function isOutage(error: unknown): boolean {
  return isCacheError(error, 'CACHE_UNAVAILABLE') || isCacheError(error, 'CACHE_TIMEOUT')
}
