import type { Redis, RedisOptions } from 'ioredis'
import type { PubSubClient } from './client.ts'
import { ready } from './connection.ts'

/** Milliseconds between two attempts to connect again: at random from this one to twice as many. */
const PAUSE = 100

const ignore = (): void => {}

export interface SubscriptionOptions {
  readonly channel: string
  /** Milliseconds that an attempt to connect may take; also how often the server is asked whether it is still there. */
  readonly patience: number
  /** The client of which the subscription uses a duplicate. */
  source(): Promise<PubSubClient>
  onMessage(message: Uint8Array): void
  /** Called once messages arrive again after a connection was lost. */
  onGap(): void
}

/**
 * A subscription to one channel, with a connection of its own: one that subscribes can do nothing else. From the first
 * `open()` that succeeded until `close()` it connects again by itself.
 */
export class Subscription {
  readonly #options: SubscriptionOptions
  /** Under way, or successful. */
  #opened: Promise<void> | undefined
  #client: Redis | undefined
  #retry: NodeJS.Timeout | undefined
  #lost = false
  #closed = false

  constructor(options: SubscriptionOptions) {
    this.#options = options
  }

  /** Resolves once messages arrive. */
  open(): Promise<void> {
    this.#opened ??= this.#open().catch(error => {
      this.#opened = undefined
      throw error
    })
    return this.#opened
  }

  async #open(): Promise<void> {
    const { channel, patience, source, onMessage, onGap } = this.#options
    const like = await source()
    if (this.#closed) throw new Error('Connection is closed.')
    const client = like.duplicate(forOneConnection(patience))
    this.#client = client
    try {
      await ready(client, patience)
      const watch = new Watch(client, patience)
      client.once('end', () => watch.stop())
      client.on('messageBuffer', (_channel: Buffer, message: Buffer) => {
        watch.heard()
        onMessage(message)
      })
      await client.subscribe(channel)
    } catch (error) {
      client.disconnect()
      throw error
    }
    client.once('end', () => {
      this.#opened = undefined
      this.#lost = true
      this.#openAgain()
    })
    if (!this.#lost) return
    this.#lost = false
    onGap()
  }

  #openAgain(): void {
    if (this.#closed) return
    const pause = PAUSE * (1 + Math.random())
    this.#retry = setTimeout(() => this.open().catch(() => this.#openAgain()), pause).unref()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#client?.disconnect()
    await this.#opened?.catch(ignore)
  }
}

/** Ends a connection over which nothing comes: a server that froze, or a network that is gone, sends no farewell. */
class Watch {
  readonly #timer: NodeJS.Timeout
  #heard = true

  constructor(client: Redis, interval: number) {
    const check = (): void => {
      if (this.#heard) client.ping().then(() => this.heard(), ignore)
      else client.disconnect()
      this.#heard = false
    }
    // After a long stall of the event loop timers run before the sockets are read; `setImmediate` runs after.
    this.#timer = setInterval(() => setImmediate(check), interval).unref()
  }

  heard(): void {
    this.#heard = true
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/** What the duplicate of any client has to do differently: `Subscription` connects again, and tells of the gap. */
function forOneConnection(patience: number): RedisOptions {
  return {
    lazyConnect: true,
    connectTimeout: patience,
    disconnectTimeout: 0,
    enableOfflineQueue: false,
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: patience / 2,
    reconnectOnError: null,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
  }
}
