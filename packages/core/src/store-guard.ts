import type { Awaitable } from './cache.ts'
import { CacheError, isCacheError } from './errors.ts'
import { isThenable } from './record-store.ts'

/**
 * Between the cache and its store: gives up on answers that take too long, and stops asking a store that fails. After
 * `failures` outages in a row every call fails at once, until a probe, made every `retryAfter` milliseconds while there
 * are calls, gets an answer: so no user's call has to try out whether the store is back.
 */
export class StoreGuard {
  /** How long `askPatiently` waits, in milliseconds. */
  readonly patience: number
  readonly #name: string
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
    { failures, retryAfter }: { readonly failures: number; readonly retryAfter: number },
    probe: () => Promise<unknown>,
  ) {
    this.#name = name
    this.patience = patience
    this.#failures = failures
    this.#retryAfter = retryAfter
    this.#probe = probe
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
      let waiting = true
      const end = (then: () => void): void => {
        if (!waiting) return
        waiting = false
        clearTimeout(timer)
        signal?.removeEventListener('abort', leave)
        then()
      }
      const fail = (error: unknown): void =>
        end(() => {
          this.#count(error)
          reject(error)
        })
      const leave = (): void => end(() => reject(signal?.reason))
      // After a stall of the event loop timers run before the sockets are read; `setImmediate` runs after, so that an
      // answer which has already arrived counts.
      const timer = setTimeout(() => setImmediate(giveUp), this.patience).unref()
      const giveUp = (): void => {
        const message = `${this.#name} gave no answer within storeTimeout (${this.patience} ms).`
        fail(new CacheError({ code: 'CACHE_TIMEOUT', message, backend: this.#name }))
      }
      signal?.addEventListener('abort', leave, { once: true })
      answer.then(
        value =>
          end(() => {
            this.#failed = 0
            resolve(value)
          }),
        fail,
      )
    })
  }

  #assertAsked(): void {
    if (this.#probeAt === undefined) return
    if (performance.now() >= this.#probeAt) {
      this.#probeAt = Number.POSITIVE_INFINITY
      this.#probe().then(
        () => this.#answered(),
        error => {
          if (isOutage(error)) this.#probeAt = performance.now() + this.#retryAfter
          else this.#answered()
        },
      )
    }
    throw new CacheError({
      code: 'CACHE_UNAVAILABLE',
      message: `${this.#name} failed ${this.#failed} times in a row and is not asked until it answers a probe.`,
      backend: this.#name,
      outcome: 'not-applied',
    })
  }

  #answered(): void {
    this.#probeAt = undefined
    this.#failed = 0
  }

  #count(error: unknown): void {
    if (!isOutage(error)) this.#failed = 0
    else if (++this.#failed >= this.#failures) this.#probeAt ??= performance.now() + this.#retryAfter
  }
}

function isOutage(error: unknown): boolean {
  return isCacheError(error, 'CACHE_UNAVAILABLE') || isCacheError(error, 'CACHE_TIMEOUT')
}
