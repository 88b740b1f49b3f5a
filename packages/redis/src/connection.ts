import type { Cluster, Redis } from 'ioredis'
import type { ClusterClient, NodeClient } from './client.ts'
import { type ConnectionOptions, clientFactory, passedClient } from './connection-options.ts'

/** The least time in milliseconds between two attempts to connect. */
const PAUSE = 50
/** Milliseconds that a node of a Cluster has to show that it is alive after some call got no answer. */
const PING_TIMEOUT = 250

const ignore = (): void => {}

/** Which servers hold which keys. */
export interface Layout {
  /** The servers that hold keys, in a fixed order. */
  readonly masters: readonly NodeClient[]
  /** The same text as long as all keys stay where they are, and no slot begins to move. */
  readonly slots: string
  /** Whether keys are moving between servers. */
  readonly moving: boolean
}

/**
 * The connection of a backend. A client of ours serves for one connection only: when that has ended, the next call makes
 * a new client, so nothing of the old one (queues, half a reply, commands under way) can reach anybody.
 */
export class RedisConnection {
  #client: NodeClient
  #corked = false
  readonly #create: (() => Redis | Cluster) | undefined
  /** `client`, if it is ours. */
  #own: Redis | Cluster | undefined
  #up = false
  readonly #patience: number
  readonly #onLost: () => void
  #attempt: Promise<void> | undefined
  #failure: { readonly reason: unknown; readonly time: number } | undefined
  readonly #pinged = new Set<Redis>()

  /**
   * @param timeout Milliseconds that a call of the backend has. An attempt to connect gets half of it, which leaves time
   * for a second one, but at least a second: it goes on when the call that began it has given up.
   * @param onLost Called when a connection of ours has ended: the next call has to `open()` again.
   * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. Does no I/O.
   */
  constructor(options: ConnectionOptions, timeout: number, onLost: () => void) {
    this.#patience = Math.max(1000, timeout / 2)
    this.#onLost = onLost
    if (options.client !== undefined) {
      this.#client = passedClient(options)
      return
    }
    this.#create = clientFactory(options, this.#patience)
    this.#own = this.#create()
    this.#client = this.#own
  }

  /** The client, to send commands with once `open()` has resolved. A command that is not alone leaves with the others. */
  get client(): NodeClient {
    if (!this.#corked && this.#client.commandQueue?.length) this.cork()
    return this.#client
  }

  /**
   * Has the commands that are sent in this turn of the event loop leave in one write to each server: by itself ioredis
   * makes a system call for each, which costs more than all else.
   */
  cork(): void {
    if (this.#corked) return
    this.#corked = true
    const nodes = this.#client.isCluster ? (this.#client as ClusterClient).nodes('master') : [this.#client]
    const sockets = nodes.map(node => node.stream)
    for (const socket of sockets) socket?.cork()
    process.nextTick(() => {
      this.#corked = false
      for (const socket of sockets) socket?.uncork()
    })
  }

  /** Resolves once there is a connection, for all that wait for one at the same attempt. */
  async open(): Promise<void> {
    if (this.#create === undefined) {
      this.#client.on('error', ignore)
      return
    }
    this.#attempt ??= this.#connect(this.#create).finally(() => {
      this.#attempt = undefined
    })
    await this.#attempt
  }

  async #connect(create: () => Redis | Cluster): Promise<void> {
    if (this.#failure !== undefined && performance.now() < this.#failure.time + PAUSE) throw this.#failure.reason
    const client = this.#own?.status === 'wait' ? this.#own : create()
    this.#own = client
    this.#client = client
    try {
      await ready(client, this.#patience)
    } catch (reason) {
      this.#failure = { reason, time: performance.now() }
      throw reason
    }
    this.#up = true
    client.once('end', () => {
      if (client === this.#own) this.#lost()
    })
  }

  #lost(): void {
    if (!this.#up) return
    this.#up = false
    this.#onLost()
  }

  /** Some call got no answer: ends what may be dead. A client that was passed in is left to its owner. */
  drop(): void {
    if (!this.#up) return
    if (this.#own?.isCluster) {
      for (const node of (this.#own as Cluster).nodes()) this.#ping(node)
    } else {
      this.#own?.disconnect()
      this.#lost()
    }
  }

  /** Ends the connection to a node that does not answer; those to the other nodes go on. */
  #ping(node: Redis): void {
    if (node.status === 'wait' || node.status === 'end' || this.#pinged.has(node)) return
    this.#pinged.add(node)
    const timer = setTimeout(() => node.disconnect(), PING_TIMEOUT)
    node
      .ping()
      .catch(ignore)
      .finally(() => {
        clearTimeout(timer)
        this.#pinged.delete(node)
      })
  }

  /** Which servers hold which keys, as it is now. Of a single server that is not a question. */
  async layout(): Promise<Layout> {
    if (!this.#client.isCluster) return { masters: [this.#client], slots: '', moving: false }
    const cluster = this.#client as ClusterClient
    await new Promise<void>((resolve, reject) => {
      cluster.refreshSlotsCache(error => (error ? reject(error) : resolve()))
    })
    const masters = cluster.nodes('master').sort((a, b) => (address(a) < address(b) ? -1 : 1))
    // What a node says of itself has its slots, and those that are moving: https://redis.io/commands/cluster-nodes/
    const lines = await Promise.all(
      masters.map(async node => /^.*\bmyself\b.*$/m.exec(String(await node.cluster('NODES')))?.[0]),
    )
    const slots = lines.join('\n')
    return { masters, slots, moving: /\[\d+-[<>]-/.test(slots) }
  }

  /** Frees what is ours. */
  async close(): Promise<void> {
    const client = this.#own
    if (client === undefined) {
      this.#client.off('error', ignore)
      return
    }
    if (client.status === 'wait' || client.status === 'end') return
    await new Promise(resolve => {
      client.once('end', resolve)
      client.disconnect()
    })
  }
}

/** Connects `client` within `patience` milliseconds. It keeps a listener for errors, which come as events at any time. */
export function ready(client: Redis | Cluster, patience: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let reason: Error | undefined
    const give = (up: Error): void => {
      clearTimeout(timer)
      client.disconnect()
      reject(up)
    }
    const timer = setTimeout(() => {
      give(Object.assign(reason ?? new Error(`no connection within ${patience} ms`), { code: 'ETIMEDOUT' }))
    }, patience)
    // The events have the reason; what `connect()` rejects with is mostly "Connection is closed."
    client.on('error', (error: Error) => {
      reason = error
    })
    client.once('end', () => {
      clearTimeout(timer)
      reject(reason ?? new Error('Connection is closed.'))
    })
    client.once('ready', () => {
      // ioredis goes on if the server refused to SELECT the database: in database 0.
      if (reason?.name === 'ReplyError') return give(reason)
      clearTimeout(timer)
      resolve()
    })
    client.connect().catch((error: Error) => {
      reason ??= error
    })
  })
}

function address(node: NodeClient): string {
  const { host, port } = node.options as { host?: string; port?: number }
  return `${host}:${port}`
}
