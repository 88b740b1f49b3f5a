/// <reference lib="esnext.disposable" preserve="true" />
import { type EventEmitter, once } from 'node:events'
import {
  type CacheBus,
  CacheError,
  type CacheErrorFields,
  describeArgument,
  invalidArgument,
  isCacheError,
} from '@cachekit/core'
import type { ClusterClient, NodeClient, PubSubClient } from './client.ts'
import { RedisConnection } from './connection.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { toErrorFields } from './errors.ts'
import { Subscription } from './subscription.ts'

/** Options of {@link RedisBus}. Without `client`, `url` and `cluster` it connects to `redis://127.0.0.1:6379`. */
export interface RedisBusOptions extends ConnectionOptions {
  /** The Redis channel that the messages go through. Default: `'cachekit'`. */
  readonly channel?: string | undefined
  /** Milliseconds that `publish` and `subscribe` may take, connecting included. Default: 2000. */
  readonly timeout?: number | undefined
}

interface Subscriber {
  onMessage(message: Uint8Array): void
  onGap(): void
}

/**
 * A bus on the publish/subscribe of Redis or Valkey: one server, Sentinels or a Cluster. It has two connections, one that
 * publishes, which is the client where one was passed, and one that subscribes, which is always its own.
 *
 * A lost connection is made again by itself, also after a server froze, which is noticed within 2 seconds, or within
 * `timeout` where that is longer.
 */
export class RedisBus implements CacheBus {
  readonly #channel: string
  readonly #timeout: number
  readonly #passed: boolean
  readonly #connection: RedisConnection
  readonly #subscription: Subscription
  readonly #subscribers = new Set<Subscriber>()
  readonly #calls = new Set<Promise<unknown>>()
  #opened: Promise<void> | undefined
  /** In a Cluster, the node that messages go to. */
  #node: PubSubClient | undefined
  #closing: Promise<void> | undefined

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: RedisBusOptions = {}) {
    const { channel = 'cachekit', timeout = 2000 } = options
    if (typeof channel !== 'string' || channel === '') {
      throw invalidArgument(`channel must be a non-empty string, not ${describeArgument(channel)}.`)
    }
    if (!(typeof timeout === 'number' && timeout > 0 && timeout <= 0x7fffffff)) {
      throw invalidArgument(
        `timeout must be a number of milliseconds between 0 and 2147483647, not ${describeArgument(timeout)}.`,
      )
    }
    this.#channel = channel
    this.#timeout = timeout
    this.#passed = options.client !== undefined
    this.#connection = new RedisConnection(options, timeout, () => {
      this.#opened = undefined
    })
    this.#subscription = new Subscription({
      channel,
      patience: Math.max(1000, timeout / 2),
      source: () => this.#source(),
      onMessage: message => {
        for (const subscriber of this.#subscribers) subscriber.onMessage(message)
      },
      onGap: () => {
        for (const subscriber of this.#subscribers) subscriber.onGap()
      },
    })
  }

  /**
   * Resolves when Redis has taken the message, whether anybody listens or not. Rejects with `CACHE_UNAVAILABLE` or
   * `CACHE_TIMEOUT` within `timeout`; a message is never kept for later, nor sent again. Where the error's `outcome` is
   * `unknown`, it may have been delivered all the same.
   */
  publish(message: Uint8Array): Promise<void> {
    const bytes = Buffer.from(message)
    return this.#call('publish', async begin => {
      await this.#open()
      const publisher = this.#publisher()
      begin()
      try {
        await publisher.publish(this.#channel, bytes)
      } catch (error) {
        this.#node = undefined
        throw error
      }
    })
  }

  /**
   * Resolves once messages arrive. Rejects with `CACHE_UNAVAILABLE` or `CACHE_TIMEOUT` where there is no connection within
   * `timeout`; then nothing is subscribed, and a further call tries again. Once it has resolved, the bus connects again by
   * itself after a connection was lost, and calls `onGap` then.
   */
  subscribe(onMessage: (message: Uint8Array) => void, onGap: () => void): Promise<void> {
    return this.#call('subscribe', async begin => {
      await this.#subscription.open()
      begin()
      this.#subscribers.add({ onMessage, onGap })
    })
  }

  /** Waits for what is under way, and frees what the bus opened. Later calls reject with `CACHE_CLOSED`. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#subscription.close()
    await Promise.allSettled([...this.#calls, this.#opened])
    await this.#connection.close()
  }

  /** Runs `call`, for at most `timeout`. It is to call `begin` before what cannot be taken back. */
  #call(operation: 'publish' | 'subscribe', call: (begin: () => void) => Promise<void>): Promise<void> {
    const calls = this.#calls
    const promise = new Promise<void>((resolve, reject) => {
      let begun = false
      let over = false
      const fail = (fields: CacheErrorFields): void => {
        const outcome = begun ? (fields.outcome ?? 'unknown') : 'not-applied'
        const write = operation === 'publish'
        reject(new CacheError({ ...fields, backend: 'redis', operation, outcome: write ? outcome : undefined }))
      }
      const expire = (): void => {
        if (over) return
        over = true
        if (begun) this.#connection.drop()
        fail({ code: 'CACHE_TIMEOUT', message: `redis ${operation}: no answer within ${this.#timeout} ms` })
      }
      // After a long stall of the event loop timers run before the sockets are read; `setImmediate` runs after.
      const timer = setTimeout(() => setImmediate(expire), this.#timeout)
      const begin = (): void => {
        if (over) throw closed()
        begun = true
      }
      const run = async (): Promise<void> => {
        if (this.#closing !== undefined) throw closed()
        await call(begin)
      }
      run()
        .then(resolve, error => fail(this.#closing && !begun ? closed() : fieldsOf(error)))
        .finally(() => {
          over = true
          clearTimeout(timer)
        })
    })
    calls.add(promise)
    const remove = (): void => void calls.delete(promise)
    promise.then(remove, remove)
    return promise
  }

  /** Resolves once there is a connection to publish with. Who waits for one at the same time goes on in order. */
  async #open(): Promise<void> {
    this.#opened ??= this.#connection.open().catch(error => {
      this.#opened = undefined
      throw error
    })
    await this.#opened
    if (this.#passed) await connected(this.#connection.client, this.#timeout)
  }

  /** Who takes the messages: in a Cluster always the same node, as long as it does, or they would come in any order. */
  #publisher(): PubSubClient {
    const client = this.#connection.client as PubSubClient
    if (!client.isCluster) return client
    const masters = mastersOf(client)
    this.#node = masters.find(node => node === this.#node) ?? oneOf(masters)
    return this.#node
  }

  async #source(): Promise<PubSubClient> {
    const client = this.#connection.client as PubSubClient
    if (!client.isCluster) return client
    await this.#open()
    return oneOf(mastersOf(this.#connection.client))
  }
}

/** Waits for a client that was passed in and is about to connect. What is sent now would lie in its queue. */
async function connected(client: NodeClient, timeout: number): Promise<void> {
  const { status } = client
  const emitter = client as unknown as EventEmitter & { connect(): Promise<unknown> }
  if (status === 'wait') await emitter.connect()
  else if (status === 'connecting' || status === 'connect') {
    await once(emitter, 'ready', { signal: AbortSignal.timeout(timeout) })
  }
  if (client.status !== 'ready') throw noConnection()
}

function mastersOf(cluster: NodeClient): PubSubClient[] {
  return (cluster as unknown as ClusterClient).nodes('master') as PubSubClient[]
}

function oneOf(nodes: readonly PubSubClient[]): PubSubClient {
  const node = nodes[Math.floor(Math.random() * nodes.length)]
  if (node === undefined) throw noConnection()
  return node
}

function fieldsOf(error: unknown): CacheErrorFields {
  return isCacheError(error) ? error : { code: 'CACHE_BACKEND_FAILED', cause: error, ...toErrorFields(error) }
}

function noConnection(): CacheError {
  return new CacheError({ code: 'CACHE_UNAVAILABLE', message: 'there is no connection to Redis' })
}

function closed(): CacheError {
  return new CacheError({ code: 'CACHE_CLOSED', message: 'The bus was closed.' })
}
