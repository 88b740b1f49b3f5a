import { connect, type Socket } from 'node:net'
import type { NewEntry, StoredEntry } from '../../src/backend.ts'
import { type BackendOptions, BaseBackend } from '../../src/base-backend.ts'
import type { CacheErrorFields } from '../../src/errors.ts'
import { SUPPORTS } from './reference-backend.ts'
import { fromWire, onLines, type Reply, type Request, toWire, type Wire } from './reference-server.ts'

interface Waiting {
  readonly request: Request
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

/** The connection is gone. `sent`: whether the request may have reached the server. */
export class ConnectionLost extends Error {
  readonly sent: boolean

  constructor(sent: boolean, cause?: unknown) {
    super('connection lost', { cause })
    this.sent = sent
  }
}

/** A correct backend of a `ReferenceServer`: mutants of what the network can do are small edits of it. */
export class NetworkBackend extends BaseBackend {
  protected readonly server: { readonly host: string; readonly port: number }
  protected socket: Socket | undefined
  protected connecting: Promise<Socket> | undefined
  protected readonly waiting: Map<number, Waiting> = new Map()
  #number = 0

  constructor(server: { readonly host: string; readonly port: number }, options: BackendOptions) {
    super('network', SUPPORTS, options)
    this.server = server
  }

  protected async connection(): Promise<Socket> {
    if (this.socket !== undefined) return this.socket
    this.connecting ??= this.connect().finally(() => {
      this.connecting = undefined
    })
    return this.connecting
  }

  protected connect(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ ...this.server, timeout: this.timeout })
      socket.setNoDelay(true)
      socket.once('connect', () => {
        socket.setTimeout(0)
        this.socket = socket
        resolve(socket)
      })
      socket.once('timeout', () => socket.destroy())
      socket.on('error', () => {}) // `close` follows
      socket.on('close', () => {
        reject(new ConnectionLost(false))
        this.lose(socket)
      })
      onLines(socket, line => this.receive(socket, line))
    })
  }

  /** What comes back is only believed if it is what was asked for. */
  protected receive(socket: Socket, line: string): void {
    let reply: Reply
    try {
      reply = JSON.parse(line)
    } catch {
      socket.destroy()
      return
    }
    this.settle(reply)
  }

  protected settle({ number, answer }: Reply): void {
    const waiting = this.waiting.get(number)
    this.waiting.delete(number)
    waiting?.resolve(answer)
  }

  protected lose(socket: Socket): void {
    if (this.socket !== socket) return
    this.socket = undefined
    const lost = [...this.waiting.values()]
    this.waiting.clear()
    for (const { reject } of lost) reject(new ConnectionLost(true))
  }

  protected async send(request: Omit<Request, 'number'>): Promise<unknown> {
    const socket = await this.connection()
    const numbered = { number: this.#number++, ...request }
    return new Promise((resolve, reject) => {
      this.waiting.set(numbered.number, { request: numbered, resolve, reject })
      socket.write(`${JSON.stringify(numbered)}\n`)
    })
  }

  protected override async _open(): Promise<void> {
    await this.connection()
  }

  protected override async _close(): Promise<void> {
    this.socket?.destroy()
  }

  /** What comes late would be of no use, and a dead connection would not tell. */
  protected override _timedOut(): void {
    this.socket?.destroy()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    if (!(error instanceof ConnectionLost)) return undefined
    return { code: 'CACHE_UNAVAILABLE', outcome: error.sent ? 'unknown' : 'not-applied' }
  }

  protected async _get(id: string): Promise<StoredEntry | undefined> {
    return fromWire((await this.send({ command: 'get', id })) as Wire | undefined)
  }

  protected async _set(id: string, entry: NewEntry): Promise<void> {
    await this.send({ command: 'set', id, next: toWire(entry) })
  }

  protected async _swap(id: string, expected: StoredEntry | undefined, next: NewEntry | undefined): Promise<boolean> {
    return (await this.send({ command: 'swap', id, expected: toWire(expected), next: toWire(next) })) as boolean
  }

  protected async _clear(prefix: string): Promise<void> {
    await this.send({ command: 'clear', id: prefix })
  }

  protected override async *_keys(prefix: string): AsyncGenerator<string> {
    for (const id of (await this.send({ command: 'keys', id: prefix })) as string[]) {
      const entry = await this._get(id)
      if (entry && (entry.expiresAt === undefined || entry.expiresAt > this.now())) yield id
    }
  }
}
