import type { CacheBus } from '../../src/index.ts'

/** What buses of one process are connected by. */
export class Hub {
  readonly subscribers: Set<LocalBus> = new Set()
  readonly messages: Uint8Array[] = []
  /** Whether a message gets through. */
  delivers: (message: Uint8Array) => boolean = () => true

  bus(): LocalBus {
    return new LocalBus(this)
  }
}

/** A bus that delivers at once, and can be told to lose messages or to break. */
export class LocalBus implements CacheBus {
  readonly #hub: Hub
  fails: Error | undefined
  closed = false
  onMessage: (message: Uint8Array) => void = () => {}
  onGap: () => void = () => {}

  constructor(hub: Hub) {
    this.#hub = hub
  }

  async publish(message: Uint8Array): Promise<void> {
    if (this.fails) throw this.fails
    this.#hub.messages.push(message)
    if (!this.#hub.delivers(message)) return
    for (const subscriber of this.#hub.subscribers) subscriber.onMessage(message)
  }

  async subscribe(onMessage: (message: Uint8Array) => void, onGap: () => void): Promise<void> {
    if (this.fails) throw this.fails
    this.onMessage = onMessage
    this.onGap = onGap
    this.#hub.subscribers.add(this)
  }

  async close(): Promise<void> {
    this.closed = true
    this.#hub.subscribers.delete(this)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
