/** A call under way that ends at a deadline at the latest. */
export class PendingCall {
  /** Whom it belongs to: `close()` of a namespace view waits for the calls of that view. */
  readonly owner: unknown
  /** Ends the call early; it does nothing once the call has settled. */
  readonly abandon: (reason: 'timeout' | 'closed') => void
  /** Whether the call still counts as under way. */
  pending = true
  /** Monotonic milliseconds (`performance.now()`). */
  deadline = 0
  previous: PendingCall | undefined
  next: PendingCall | undefined

  constructor(owner: unknown, abandon: (reason: 'timeout' | 'closed') => void) {
    this.owner = owner
    this.abandon = abandon
  }
}

/**
 * The deadlines of all calls of one backend. They share one timeout, so a list in order of arrival is in order of
 * deadline, and one timer serves any number of calls: a timer for each would cost more than many of the calls.
 */
export class Deadlines {
  readonly #timeout: number
  #first: PendingCall | undefined
  #last: PendingCall | undefined
  #timer: NodeJS.Timeout | undefined

  /** @param timeout Milliseconds that each call has. */
  constructor(timeout: number) {
    this.#timeout = timeout
  }

  add(call: PendingCall): void {
    call.deadline = performance.now() + this.#timeout
    this.#append(call)
    if (this.#timer === undefined) this.#arm(this.#timeout)
    else this.#timer.ref()
  }

  /** Gives a call that made progress its whole time again. */
  renew(call: PendingCall): void {
    if (!call.pending) return
    this.#unlink(call)
    call.deadline = performance.now() + this.#timeout
    this.#append(call)
  }

  remove(call: PendingCall): void {
    if (!call.pending) return
    call.pending = false
    this.#unlink(call)
    // The timer stays for the next call, but does not keep an idle process alive.
    if (this.#first === undefined) this.#timer?.unref()
  }

  /** The calls under way. */
  *[Symbol.iterator](): Generator<PendingCall> {
    let call = this.#first
    while (call !== undefined) {
      const next: PendingCall | undefined = call.next
      yield call
      call = next
    }
  }

  /** Stops the timer. Only for when no call is under way and none will follow. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #append(call: PendingCall): void {
    call.previous = this.#last
    call.next = undefined
    if (this.#last === undefined) this.#first = call
    else this.#last.next = call
    this.#last = call
  }

  #unlink(call: PendingCall): void {
    if (call.previous === undefined) this.#first = call.next
    else call.previous.next = call.next
    if (call.next === undefined) this.#last = call.previous
    else call.next.previous = call.previous
  }

  #arm(delay: number): void {
    // After a long stall of the event loop timers run before the sockets are read; `setImmediate` runs after, so
    // that answers which have already arrived are not taken for timeouts.
    this.#timer = setTimeout(() => setImmediate(() => this.#expire()), delay)
  }

  #expire(): void {
    const now = performance.now()
    while (this.#first !== undefined && this.#first.deadline <= now) {
      const call = this.#first
      this.remove(call)
      call.abandon('timeout')
    }
    if (this.#first === undefined) this.#timer = undefined
    else this.#arm(Math.max(1, Math.ceil(this.#first.deadline - now)))
  }
}
