import { Deadlines, PendingCall } from './deadlines.ts'
import { CacheError, type CacheErrorCode, type CacheErrorFields, isCacheError } from './errors.ts'

/**
 * Tells that a long call got on, which gives it its whole timeout again. Throws once nobody waits for the call any
 * more (it timed out, or the backend was closed), so that loops which call it end. `made` false: nothing was achieved,
 * this only asks.
 */
export type Progress = (made?: boolean) => void

/** What a call is, for its deadline and for its errors. */
export interface CallKind {
  readonly operation: string
  readonly write: boolean
  /** Whether progress renews the deadline: `clear`, `keys` and batches. */
  readonly long: boolean
}

/** The hooks of a backend that its life cycle calls; see `BaseBackend`. */
export interface LifecycleHooks {
  _open(): Promise<void>
  _close(): Promise<void>
  _timedOut(): void
  _toError(error: unknown): CacheErrorFields | undefined
}

const NEVER_SENT: ReadonlySet<CacheErrorCode> = new Set([
  'CACHE_INVALID_KEY',
  'CACHE_INVALID_TTL',
  'CACHE_INVALID_ARGUMENT',
  'CACHE_VALUE_TOO_LARGE',
  'CACHE_NOT_A_COUNTER',
  'CACHE_COUNTER_OVERFLOW',
  'CACHE_NOT_SUPPORTED',
  'CACHE_CLOSED',
])

/**
 * Opens a backend at its first call, once; runs every call within the timeout and with errors as users see them; lets
 * calls end before it closes.
 */
export class Lifecycle {
  readonly timeout: number
  readonly #backend: string
  readonly #hooks: LifecycleHooks
  readonly #deadlines: Deadlines
  #opened = false
  #opening: Promise<void> | undefined
  #closing: Promise<void> | undefined

  /** @param timeout Milliseconds for a call, connecting included. */
  constructor(backend: string, timeout: number, hooks: LifecycleHooks) {
    this.#backend = backend
    this.timeout = timeout
    this.#hooks = hooks
    this.#deadlines = new Deadlines(timeout)
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Runs `hook` on the open store. `owner` is the view that was called. */
  run<T>(kind: CallKind, owner: unknown, hook: (progress: Progress) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let started = false
      const call = new PendingCall(owner, reason => {
        this.#deadlines.remove(call)
        if (reason === 'timeout' && started) this.#hooks._timedOut()
        reject(this.#abandoned(reason, kind, started))
      })
      const progress: Progress = (made = true) => {
        if (!call.pending)
          throw new CacheError({ code: 'CACHE_CLOSED', message: 'Nobody waits for this call any more.' })
        if (made && kind.long) this.#deadlines.renew(call)
      }
      const start = (): Promise<T> => {
        progress()
        started = true
        return hook(progress)
      }
      const settled = (value: T): void => {
        this.#deadlines.remove(call)
        resolve(value)
      }
      const failed = (error: unknown): void => {
        this.#deadlines.remove(call)
        reject(this.toCacheError(error, kind, started))
      }
      this.#deadlines.add(call)
      try {
        const result = this.#opened ? start() : this.#open().then(start)
        result.then(settled, failed)
      } catch (error) {
        failed(error)
      }
    })
  }

  /** The connection is gone: the next call opens the store again. */
  reopen(): void {
    if (this.#closing !== undefined) return
    this.#opened = false
    this.#opening = undefined
  }

  /** Ends the life of the backend; the same promise at every call. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Waits until the calls of these owners have settled, at most for the timeout; then rejects those that are left. */
  async drain(owned: (owner: unknown) => boolean): Promise<void> {
    const end = performance.now() + this.timeout
    const left = (): PendingCall[] => [...this.#deadlines].filter(call => owned(call.owner))
    let delay = 1
    while (left().length > 0 && performance.now() < end) {
      await new Promise(resolve => setTimeout(resolve, delay))
      delay = Math.min(2 * delay, 20)
    }
    for (const call of left()) call.abandon('closed')
  }

  async #close(): Promise<void> {
    await this.drain(() => true)
    const kind: CallKind = { operation: 'close', write: false, long: false }
    try {
      // An attempt to open that nobody waits for any more must not leave a connection behind.
      await this.#opening?.catch(() => {})
      this.#opened = true // or else `run` would open it now
      await this.run(kind, this, () => this.#hooks._close())
    } finally {
      this.#deadlines.stop()
    }
  }

  #open(): Promise<void> {
    if (this.#opening !== undefined) return this.#opening
    const opening = new Promise<void>((resolve, reject) => {
      // A call of its own: its waiters may come late, and each has its own deadline.
      const call = new PendingCall(this, () => {
        this.#deadlines.remove(call)
        this.#hooks._timedOut()
        reject(new CacheError({ code: 'CACHE_TIMEOUT', message: this.#timeoutMessage('connect') }))
      })
      this.#deadlines.add(call)
      Promise.resolve()
        .then(() => this.#hooks._open())
        .then(resolve, reject)
        .finally(() => this.#deadlines.remove(call))
    }).then(
      () => {
        if (this.#opening === opening) this.#opened = true
      },
      (error: unknown) => {
        if (this.#opening === opening) this.#opening = undefined
        throw error
      },
    )
    this.#opening = opening
    return opening
  }

  #timeoutMessage(operation: string): string {
    return `${this.#backend} ${operation}: no answer within ${this.timeout} ms`
  }

  #abandoned(reason: 'timeout' | 'closed', kind: CallKind, started: boolean): CacheError {
    return new CacheError({
      code: reason === 'timeout' ? 'CACHE_TIMEOUT' : 'CACHE_CLOSED',
      message:
        reason === 'timeout'
          ? `${this.#timeoutMessage(kind.operation)}${started ? '' : ' (not connected yet)'}`
          : `${this.#backend} ${kind.operation}: the backend was closed before an answer came`,
      backend: this.#backend,
      operation: kind.operation,
      outcome: kind.write ? (started ? 'unknown' : 'not-applied') : undefined,
    })
  }

  /** `error` as users see it. `started`: whether the call reached the store. */
  toCacheError(error: unknown, kind: CallKind, started: boolean): CacheError {
    const fields = errorFields(error, vendor => this.#hooks._toError(vendor))
    const outcome = !started || NEVER_SENT.has(fields.code) ? 'not-applied' : (fields.outcome ?? 'unknown')
    return new CacheError({
      ...fields,
      message: fields.message ?? `${this.#backend} ${kind.operation} failed; the error of its driver is the cause`,
      backend: this.#backend,
      operation: kind.operation,
      outcome: kind.write ? outcome : undefined,
    })
  }
}

/** What a hook's error means to users: a `CacheError` as it is, any other as the backend's `_toError` reads it. */
export function errorFields(
  error: unknown,
  toError: (error: unknown) => CacheErrorFields | undefined,
): CacheErrorFields {
  if (isCacheError(error)) {
    const { code, message, cause, retryable, keys, outcome } = error
    return { code, message, cause, retryable, keys, outcome }
  }
  try {
    const fields = toError(error)
    if (fields !== undefined) return { cause: error, ...fields }
  } catch {
    // An error that cannot even be looked at is still only a failed call.
  }
  return { code: 'CACHE_BACKEND_FAILED', cause: error }
}
