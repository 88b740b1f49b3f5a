import { connect, type NetConnectOpts, type Socket } from 'node:net'
import type { CacheError } from '@cachekit/core'
import { connectionLost, notConnected, notMemcached, replyError } from './errors.ts'
import { type Command, type Reply, ReplyParser } from './protocol.ts'

/** What a link asks first: it shows that a Memcached is there, and how large its items may be. */
const GREETING = 'stats settings\r\n'
const KEEP_ALIVE = 30_000

interface Waiting {
  readonly replies: Reply[]
  readonly count: number
  resolve(replies: Reply[]): void
  reject(error: CacheError): void
  next: Waiting | undefined
}

/**
 * One connection to one server, from the attempt to connect until its end; there is no second life. Commands share it:
 * all of one turn of the event loop leave in one write, and the answers come in the order of the commands.
 */
export class Link {
  /** Resolves once the server has answered for the first time. */
  readonly ready: Promise<void>
  /** The largest item that the server takes, in bytes (`-I`); `undefined` if it does not say. */
  itemSizeMax: number | undefined
  readonly #address: string
  readonly #socket: Socket
  /** Whom the answers belong to, in order: a list, as `shift` takes long on arrays of many thousands. */
  #first: Waiting | undefined
  #last: Waiting | undefined
  #lastHeard = 0
  #corked = false
  #failure: CacheError | undefined

  /**
   * @param address What errors call the server.
   * @param patience Milliseconds that the server has for its first answer.
   */
  constructor(address: string, where: NetConnectOpts, patience: number) {
    this.#address = address
    this.#socket = connect({ ...where, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE })
    this.#listen()
    this.ready = this.#greet(patience)
  }

  get ended(): boolean {
    return this.#failure !== undefined
  }

  /** Sends commands together, and resolves with one reply for each. */
  request(commands: readonly Command[]): Promise<Reply[]> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure
      const waiting = { replies: [], count: commands.length, resolve, reject, next: undefined }
      if (this.#last === undefined) {
        this.#first = waiting
        this.#lastHeard = performance.now()
      } else {
        this.#last.next = waiting
      }
      this.#last = waiting
      // A lone call need not wait for others.
      if (this.#first !== waiting) this.#cork()
      this.#socket.write(joined(commands) as string, 'latin1')
    })
  }

  /** For how many milliseconds calls have waited without hearing anything from the server. */
  get silence(): number {
    return this.#first === undefined ? 0 : performance.now() - this.#lastHeard
  }

  /** Ends it now; calls under way reject. */
  end(error: CacheError = connectionLost(this.#address, undefined)): void {
    this.#failure ??= error
    this.#socket.destroy()
    for (let waiting = this.#first; waiting !== undefined; waiting = waiting.next) waiting.reject(this.#failure)
    this.#first = undefined
    this.#last = undefined
  }

  /** Resolves when nothing is left of it. */
  async close(): Promise<void> {
    this.end()
    if (!this.#socket.closed) await new Promise(resolve => this.#socket.once('close', resolve))
  }

  async #greet(patience: number): Promise<void> {
    const timer = setTimeout(() => {
      const cause = Object.assign(new Error(`no answer within ${patience} ms`), { code: 'ETIMEDOUT' })
      this.end(notConnected(this.#address, cause))
    }, patience)
    try {
      const [reply] = (await this.request([GREETING])) as [Reply]
      // Proxies know no settings, and say so by this word alone.
      const error = reply.line === 'ERROR' ? undefined : replyError(reply.line)
      if (error !== undefined) throw error
      const size = Number(reply.stats.get('item_size_max'))
      this.itemSizeMax = size > 0 ? size : undefined
    } catch (error) {
      this.end(error as CacheError)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  #listen(): void {
    const parser = new ReplyParser(reply => this.#take(reply))
    let greeted = false
    let cause: Error | undefined
    this.#socket
      .on('data', piece => {
        greeted = true
        this.#lastHeard = performance.now()
        try {
          parser.push(piece)
        } catch (error) {
          this.end(notMemcached(this.#address, error))
        }
      })
      .on('error', error => {
        cause = error
      })
      // No answer can follow the server's FIN.
      .on('end', () => this.#socket.destroy())
      .on('close', () => {
        this.end(
          greeted || cause === undefined ? connectionLost(this.#address, cause) : notConnected(this.#address, cause),
        )
      })
  }

  #take(reply: Reply): void {
    const waiting = this.#first
    if (waiting === undefined) {
      if (this.#failure !== undefined) return
      throw new Error('an answer that nobody waits for')
    }
    waiting.replies.push(reply)
    if (waiting.replies.length < waiting.count) return
    this.#first = waiting.next
    if (this.#first === undefined) this.#last = undefined
    waiting.resolve(waiting.replies)
    // The server may have taken the value of a refused command for commands: what comes next answers nobody.
    if (/^(?:ERROR.|CLIENT_ERROR)/.test(reply.line)) this.end()
  }

  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#corked = false
      this.#socket.uncork()
    })
  }
}

/** One write for all: each would be a system call of its own. */
function joined(commands: readonly Command[]): Command {
  if (commands.every(command => typeof command === 'string')) return commands.join('')
  return Buffer.concat(commands.map(command => (typeof command === 'string' ? Buffer.from(command) : command)))
}
