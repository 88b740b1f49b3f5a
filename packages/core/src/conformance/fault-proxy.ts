import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** What goes wrong between a backend and its server. */
export type Fault =
  /** Nothing. */
  | { readonly kind: 'none' }
  /** Nobody listens, and connections that there were are reset. */
  | { readonly kind: 'refuse' }
  /** Connections are accepted, then reset; those that there were, too. */
  | { readonly kind: 'reset' }
  /** Nothing gets through any more, and is lost; the connections are dead afterwards. */
  | { readonly kind: 'blackhole' }
  /** Nothing gets through for the time being: everything arrives when the fault ends. */
  | { readonly kind: 'freeze' }
  /** Replies arrive so much later, in milliseconds. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
  /** Replies arrive byte by byte, one in so many milliseconds; 0: as fast as that goes. */
  | { readonly kind: 'slice'; readonly milliseconds: number }
  /** A connection is reset when so many bytes of replies have passed. */
  | { readonly kind: 'cut'; readonly bytes: number }
  /** Requests reach the server; replies are lost after so many. The connections are dead afterwards. */
  | { readonly kind: 'drop replies'; readonly after: number }
  /** Requests reach the server; the connection is reset instead of the reply that comes after so many. */
  | { readonly kind: 'reset replies'; readonly after: number }
  /** Requests reach the server, and what comes back is not what it said. */
  | { readonly kind: 'garbage' }

const NONE: Fault = { kind: 'none' }

/** A TCP proxy that can do to a connection what networks do to it. */
export class FaultProxy {
  readonly host = '127.0.0.1'
  /** How many connections were made to it. */
  connections = 0
  /** The most bytes of requests that were on their way without a reply in between. */
  mostUnanswered = 0
  readonly #target: { readonly host: string; readonly port: number }
  readonly #links = new Set<Link>()
  #server: Server | undefined
  #port = 0
  #fault: Fault = NONE

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target
  }

  static async start(target: { readonly host: string; readonly port: number }): Promise<FaultProxy> {
    const proxy = new FaultProxy(target)
    await proxy.#listen()
    return proxy
  }

  get port(): number {
    return this.#port
  }

  /** Begins a fault, also for the connections that there are; ends the one before. */
  async set(fault: Fault): Promise<void> {
    const before = this.#fault
    this.#fault = fault
    const deadly = before.kind === 'blackhole' || before.kind === 'drop replies' || before.kind === 'garbage'
    for (const link of this.#links) {
      if (deadly || fault.kind === 'refuse' || fault.kind === 'reset') link.reset()
      else link.change(fault)
    }
    if (fault.kind === 'refuse') await this.#stopListening()
    else await this.#listen()
  }

  end(): Promise<void> {
    return this.set(NONE)
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.reset()
    await this.#stopListening()
  }

  async #listen(): Promise<void> {
    if (this.#server !== undefined) return
    const server = createServer(client => this.#accept(client))
    this.#server = server
    server.listen(this.#port, this.host)
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
  }

  async #stopListening(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    server.close()
    await once(server, 'close')
  }

  #accept(client: Socket): void {
    this.connections++
    client.on('error', () => {})
    if (this.#fault.kind === 'refuse' || this.#fault.kind === 'reset') {
      reset(client)
      return
    }
    const link = new Link(client, connect(this.#target), this.#fault, unanswered => {
      this.mostUnanswered = Math.max(this.mostUnanswered, unanswered)
    })
    this.#links.add(link)
    client.on('close', () => this.#links.delete(link))
  }
}

/** One connection through the proxy. */
class Link {
  readonly #client: Socket
  readonly #server: Socket
  readonly #onRequest: (unanswered: number) => void
  #fault: Fault
  #unanswered = 0
  /** Bytes, or replies, that have passed since the fault began. */
  #passed = 0
  /** What waits for its time: requests and replies, in order. */
  readonly #requests: Buffer[] = []
  readonly #replies: { readonly chunk: Buffer; readonly from: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(client: Socket, server: Socket, fault: Fault, onRequest: (unanswered: number) => void) {
    this.#onRequest = onRequest
    this.#client = client
    this.#server = server
    this.#fault = fault
    client.setNoDelay(true)
    server.setNoDelay(true)
    server.on('error', () => {})
    client.on('data', chunk => {
      this.#unanswered += chunk.length
      this.#onRequest(this.#unanswered)
      this.#request(chunk)
    })
    server.on('data', chunk => {
      this.#unanswered = 0
      this.#reply(chunk)
    })
    client.on('close', () => {
      clearTimeout(this.#timer)
      server.destroy()
    })
    // What has arrived is still on its way; a reset would overtake it.
    server.on('close', () => (this.#replies.length === 0 ? client.end() : undefined))
  }

  reset(): void {
    reset(this.#client)
    this.#server.destroy()
  }

  change(fault: Fault): void {
    this.#fault = fault
    this.#passed = 0
    for (const chunk of this.#requests.splice(0)) this.#request(chunk)
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#deliver()
  }

  #request(chunk: Buffer): void {
    if (this.#fault.kind === 'blackhole') return
    if (this.#fault.kind === 'freeze') this.#requests.push(chunk)
    else this.#server.write(chunk)
  }

  #reply(chunk: Buffer): void {
    const fault = this.#fault
    if (fault.kind === 'blackhole') return
    if (fault.kind === 'drop replies' || fault.kind === 'reset replies') {
      if (this.#passed >= fault.after) {
        if (fault.kind === 'reset replies') this.reset()
        return
      }
      this.#passed++
    }
    const from = performance.now() + (fault.kind === 'delay' ? fault.milliseconds : 0)
    this.#replies.push({ chunk: fault.kind === 'garbage' ? garbled(chunk) : chunk, from })
    if (this.#timer === undefined) this.#deliver()
  }

  /** Passes on what may arrive now, and comes again for the rest. */
  #deliver(): void {
    this.#timer = undefined
    const fault = this.#fault
    if (fault.kind === 'freeze') return
    for (let next = this.#replies[0]; next !== undefined; next = this.#replies[0]) {
      const wait = fault.kind === 'delay' ? next.from - performance.now() : 0
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#deliver(), wait)
        return
      }
      this.#replies.shift()
      if (fault.kind === 'cut' && this.#passed + next.chunk.length >= fault.bytes) {
        this.#client.write(next.chunk.subarray(0, fault.bytes - this.#passed), () => this.reset())
        return
      }
      if (fault.kind === 'cut') this.#passed += next.chunk.length
      if (fault.kind === 'slice' && next.chunk.length > 1) {
        this.#replies.unshift({ chunk: next.chunk.subarray(1), from: 0 })
        this.#client.write(next.chunk.subarray(0, 1))
        this.#timer = setTimeout(() => this.#deliver(), fault.milliseconds)
        return
      }
      this.#client.write(next.chunk)
    }
    if (this.#server.destroyed) this.#client.end()
  }
}

/** Bytes that begin no reply in any protocol that we know; the ends of lines stay, for those that wait for one. */
function garbled(chunk: Buffer): Buffer {
  return Buffer.from(chunk.map((byte, index) => (index === 0 ? 0xfe : byte < 0x20 ? byte : byte ^ 0x80)))
}

/** Ends a connection by a reset. One that is just being shut down Node.js cannot reset, and would wait for it at exit. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
