import { EventEmitter, once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { FaultyConnection } from './faulty-connection.ts'

/** What goes wrong between clients and their server. Several may be combined. */
export interface Faults {
  /** Nobody listens: open connections end, new ones are refused. */
  readonly refuse?: boolean
  /** Open connections are reset (RST), and so is every new one as soon as it is made. */
  readonly reset?: boolean
  /** Nothing arrives on either side, and connections stay open. It is late, not lost: it arrives after `heal()`. */
  readonly blackhole?: boolean
  /** Answers arrive so many milliseconds late. */
  readonly delay?: number
  /** Answers arrive in pieces of so many bytes. */
  readonly slice?: number
  /** Answers arrive at so many bytes a second. */
  readonly bytesPerSecond?: number
  /** A connection ends after so many more bytes of answers. */
  readonly cutAfter?: number
  /** Answers are lost and connections stay open: the server has done what it was asked, and nobody learns of it. */
  readonly dropAnswers?: boolean
}

/** What has gone through the proxy. */
export interface Traffic {
  connections: number
  /** Bytes from clients. */
  sent: number
  /** Bytes from the server. */
  received: number
  /** How often a client began to send, at first or after an answer. Commands that are sent together count once. */
  roundTrips: number
}

interface Address {
  readonly host: string
  readonly port: number
}

/** A TCP proxy on 127.0.0.1 in front of a server, with faults that can be changed while connections are open. */
export class FaultProxy implements Address, AsyncDisposable {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly traffic: Traffic = { connections: 0, sent: 0, received: 0, roundTrips: 0 }
  readonly #server: Address
  readonly #listener: Server
  readonly #connections = new Set<FaultyConnection>()
  readonly #changes = new EventEmitter().setMaxListeners(0)
  #faults: Faults = {}

  private constructor(server: Address, listener: Server) {
    this.#server = server
    this.#listener = listener
    this.port = (listener.address() as AddressInfo).port
    listener.on('connection', client => this.#accept(client))
  }

  /** Starts a proxy without faults. */
  static async start(server: Address): Promise<FaultProxy> {
    const listener = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return new FaultProxy(server, listener)
  }

  get faults(): Faults {
    return this.#faults
  }

  /** Replaces the faults, for open connections too. */
  async inject(faults: Faults): Promise<void> {
    this.#faults = faults
    for (const connection of this.#connections) connection.faultsChanged()
    if (faults.refuse === true) {
      this.#listener.close()
    } else if (!this.#listener.listening) {
      this.#listener.listen(this.port, this.host)
      await once(this.#listener, 'listening')
    }
    this.#changes.emit('change')
  }

  /** Takes all faults away. */
  async heal(): Promise<void> {
    await this.inject({})
  }

  /** Ends all connections and stops listening. */
  async close(): Promise<void> {
    await this.inject({ refuse: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Resolves when the faults are replaced. */
  async changed(): Promise<void> {
    await once(this.#changes, 'change')
  }

  #accept(client: Socket): void {
    this.traffic.connections++
    const server = connect({ ...this.#server, allowHalfOpen: true, noDelay: true })
    const connection = new FaultyConnection(client, server, this)
    this.#connections.add(connection)
    connection.done.finally(() => this.#connections.delete(connection))
    connection.faultsChanged()
  }
}
