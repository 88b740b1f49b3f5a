import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { StoredEntry } from '../../src/backend.ts'
import { same } from './reference-backend.ts'

/** What is sent over the network, one line of JSON each way. */
export interface Request {
  readonly number: number
  readonly command: 'get' | 'set' | 'swap' | 'clear' | 'remove' | 'keys'
  readonly id: string
  readonly ids?: readonly string[] | undefined
  readonly expected?: Wire | undefined
  readonly next?: Wire | undefined
}

export interface Wire {
  readonly value: string
  readonly expiresAt?: number | undefined
}

export interface Reply {
  readonly number: number
  readonly answer?: unknown
}

export const toWire = (entry: StoredEntry | undefined): Wire | undefined =>
  entry && { value: Buffer.from(entry.value).toString('base64'), expiresAt: entry.expiresAt }

export const fromWire = (wire: Wire | undefined): StoredEntry | undefined =>
  wire && { value: Buffer.from(wire.value, 'base64'), expiresAt: wire.expiresAt }

/** Calls back for each line. `node:readline` would take U+2028 for the end of one, too. */
export function onLines(socket: Socket, onLine: (line: string) => void): void {
  let pieces: Buffer[] = []
  socket.on('data', chunk => {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      onLine(Buffer.concat([...pieces, chunk.subarray(start, end)]).toString())
      pieces = []
      start = end + 1
    }
    pieces.push(chunk.subarray(start))
  })
}

/** A store behind a socket, for the cases in which the network fails. */
export class ReferenceServer {
  readonly host = '127.0.0.1'
  readonly #records = new Map<string, StoredEntry>()
  readonly #sockets = new Set<Socket>()
  readonly #server: Server = createServer(socket => this.#serve(socket))

  async start(): Promise<this> {
    this.#server.listen(0, this.host)
    await once(this.#server, 'listening')
    return this
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    onLines(socket, line => {
      const request: Request = JSON.parse(line)
      const reply: Reply = { number: request.number, answer: this.#execute(request) }
      socket.write(`${JSON.stringify(reply)}\n`)
    })
  }

  #execute({ command, id, ids: doomed = [], expected, next }: Request): unknown {
    const records = this.#records
    const ids = (): string[] => [...records.keys()].filter(other => other.startsWith(id))
    switch (command) {
      case 'get':
        return toWire(records.get(id))
      case 'set':
        records.set(id, fromWire(next) as StoredEntry)
        return true
      case 'swap': {
        const swapped = same(records.get(id), fromWire(expected))
        if (swapped && next) records.set(id, fromWire(next) as StoredEntry)
        if (swapped && !next) records.delete(id)
        return swapped
      }
      case 'clear':
        for (const other of ids()) records.delete(other)
        return true
      case 'remove':
        for (const other of doomed) records.delete(other)
        return true
      default:
        return ids()
    }
  }
}
