import type { Socket } from 'node:net'
import { Transform } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { FaultProxy } from './fault-proxy.ts'

/** How often a throttled connection lets something through, in milliseconds. */
const throttleInterval = 20

/** One client's way through a fault proxy. */
export class FaultyConnection {
  /** Resolves when both sides are closed. */
  readonly done: Promise<void>
  readonly #client: Socket
  readonly #server: Socket
  readonly #proxy: FaultProxy
  /** Bytes of answers since the faults last changed. */
  #answered = 0

  constructor(client: Socket, server: Socket, proxy: FaultProxy) {
    this.#client = client
    this.#server = server
    this.#proxy = proxy
    this.#count()
    this.done = Promise.all([this.#forward(), this.#answer()]).then(() => this.#end())
    // A side that fails takes the other with it, as a real connection would.
    client.on('error', () => server.destroy())
    server.on('error', () => client.destroy())
  }

  faultsChanged(): void {
    this.#answered = 0
    const { refuse, reset } = this.#proxy.faults
    if (reset === true) {
      // One that is just being shut down Node.js cannot reset, and would wait for it at exit.
      if (this.#client.writableEnded) this.#client.destroy()
      else this.#client.resetAndDestroy()
      this.#server.destroy()
    }
    if (refuse === true) this.#end()
  }

  #end(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  /** Keeps the books as bytes come in, whatever becomes of them. */
  #count(): void {
    const { traffic } = this.#proxy
    let idle = true
    this.#client.on('data', bytes => {
      traffic.sent += bytes.length
      if (idle) traffic.roundTrips++
      idle = false
    })
    this.#server.on('data', bytes => {
      traffic.received += bytes.length
      idle = true
    })
  }

  /** What the client says goes on as it is. */
  async #forward(): Promise<void> {
    for await (const { bytes } of arrivals(this.#client, () => 0)) {
      await this.#passage()
      await write(this.#server, bytes)
    }
    await this.#passage()
    if (this.#client.destroyed) this.#server.destroy()
    else this.#server.end()
  }

  /** What the server answers goes through the faults. */
  async #answer(): Promise<void> {
    const delay = (): number => this.#proxy.faults.delay ?? 0
    for await (const { bytes, due } of arrivals(this.#server, delay)) {
      if (due > Date.now()) await sleep(due - Date.now())
      await this.#passage()
      const { cutAfter = Number.POSITIVE_INFINITY, dropAnswers } = this.#proxy.faults
      if (dropAnswers === true) continue
      const allowed = bytes.subarray(0, cutAfter - this.#answered)
      this.#answered += bytes.length
      await this.#deliver(allowed)
      if (this.#answered < cutAfter) continue
      this.#client.destroySoon() // what was allowed still leaves
      this.#server.destroy()
      return
    }
    await this.#passage()
    this.#client.end()
  }

  async #deliver(bytes: Buffer): Promise<void> {
    for (let rest = bytes; rest.length > 0; ) {
      await this.#passage()
      const { slice = rest.length, bytesPerSecond = Number.POSITIVE_INFINITY } = this.#proxy.faults
      const length = Math.max(1, Math.min(slice, Math.floor((bytesPerSecond * throttleInterval) / 1000), rest.length))
      await nextTurn() // so that a client in this process reads one piece before the next is written
      await write(this.#client, rest.subarray(0, length))
      rest = rest.subarray(length)
      if (Number.isFinite(bytesPerSecond)) await sleep((length / bytesPerSecond) * 1000)
    }
  }

  /** Resolves at once, unless there is a blackhole: then when it is gone. */
  async #passage(): Promise<void> {
    while (this.#proxy.faults.blackhole === true) await this.#proxy.changed()
  }
}

interface Arrival {
  readonly bytes: Buffer
  /** When it may go on, in epoch milliseconds. */
  readonly due: number
}

/** What a socket receives, stamped as it comes in, so that what waits in a queue is not delayed again. */
function arrivals(socket: Socket, delay: () => number): AsyncIterable<Arrival> {
  const stamped = new Transform({
    readableObjectMode: true,
    readableHighWaterMark: 1000,
    transform: (bytes, _encoding, done) => done(null, { bytes, due: Date.now() + delay() }),
  })
  socket.once('close', () => stamped.end())
  return socket.pipe(stamped)
}

/** Resolves when the system has taken the bytes, or the socket is closed. */
function write(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise(resolve => {
    socket.write(bytes, () => resolve())
  })
}
