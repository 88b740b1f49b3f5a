import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NewEntry, StoredEntry } from '../../src/backend.ts'
import type { BackendOptions } from '../../src/base-backend.ts'
import type { Rule } from '../../src/conformance/case.ts'
import { CacheError, isCacheError } from '../../src/errors.ts'
import { ConnectionLost, type NetworkBackend } from './network-backend.ts'
import type { Reply, Request } from './reference-server.ts'

type Network = typeof NetworkBackend

/** A correct backend over a network with one bug that shows when the network fails. */
export interface NetworkMutant {
  readonly name: string
  /** Whose bug it is, or of which class. */
  readonly source: string
  /** The rule that it breaks: a case of this rule has to catch it. */
  readonly rule: Rule
  mutate(Base: Network): Network
}

const timedOut = (error: unknown): boolean => isCacheError(error, 'CACHE_TIMEOUT')

export const networkMutants: readonly NetworkMutant[] = [
  {
    name: 'a lost connection is a miss',
    source: 'smell 1, error as miss: async-cache-dedupe get',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        protected override _get(id: string): Promise<StoredEntry | undefined> {
          return super._get(id).catch(() => undefined)
        }
      },
  },
  {
    name: 'has() is false while the server is away',
    source: 'Keyv memcache and dynamo: has swallows',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        override has(key: string): Promise<boolean> {
          return super.has(key).catch(error => {
            if (error.code === 'CACHE_UNAVAILABLE' || timedOut(error)) return false
            throw error
          })
        }
      },
  },
  {
    name: 'clear() collects all keys and deletes them at once',
    source: 'KEYS and DEL: async-cache-dedupe, unstorage',
    rule: 'R12',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          const ids = (await this.send({ command: 'keys', id: prefix })) as string[]
          await this.send({ command: 'remove', id: prefix, ids })
        }
      },
  },
  {
    name: 'an empty batch connects',
    source: 'cases.md group G: empty input, no I/O',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
          await this.open()
          return super.getMany(keys)
        }
      },
  },
  {
    name: 'arguments are checked by the server',
    source: 'cases.md group D: typed key error before any I/O',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          await this.open()
          return super.get(key)
        }
      },
  },
  {
    name: 'a batch names the first key that failed, and no other',
    source: 'smell 6, unread results: bentocache deleteMany; gofiber/storage',
    rule: 'R25',
    mutate: Base =>
      class extends Base {
        protected override batchFailure(size: number, failed: readonly string[], cause: unknown): CacheError {
          return super.batchFailure(size + 1, failed.slice(0, 1), cause)
        }
      },
  },
  {
    name: 'a batch that failed in part is done',
    source: 'Keyv dynamo: unprocessed writes are forgotten',
    rule: 'R25',
    mutate: Base =>
      class extends Base {
        override setMany(...args: Parameters<NetworkBackend['setMany']>): Promise<void> {
          return super.setMany(...args).catch(error => {
            if (error.code !== 'CACHE_BATCH_FAILED' && error.code !== 'CACHE_UNAVAILABLE') throw error
          })
        }
      },
  },
  {
    name: 'getMany() asks for one key after the other',
    source: 'Keyv getMany: 0.21x the driver',
    rule: 'R26',
    mutate: Base =>
      class extends Base {
        protected override async _getMany(ids: readonly string[]): Promise<(StoredEntry | undefined)[]> {
          const entries: (StoredEntry | undefined)[] = []
          for (const id of ids) entries.push(await this._get(id))
          return entries
        }
      },
  },
  {
    name: 'the constructor connects',
    source: 'cases.md group L: lazy connect',
    rule: 'R27',
    mutate: Base =>
      class extends Base {
        constructor(server: { readonly host: string; readonly port: number }, options: BackendOptions) {
          super(server, options)
          void this.connection().catch(() => {})
        }
      },
  },
  {
    name: 'close() waits for answers that never come',
    source: 'gofiber/storage #3126: close blocks for ever',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        protected override _timedOut(): void {}
        override async close(): Promise<void> {
          for (let turn = 0; this.waiting.size > 0 && turn < 400; turn++) await sleep(10)
          return super.close()
        }
      },
  },
  {
    name: 'a malformed reply throws out of the socket handler',
    source: 'the `memcached` driver: a foreign value with the JSON flag kills the process',
    rule: 'R30',
    mutate: Base =>
      class extends Base {
        protected override receive(_socket: Socket, line: string): void {
          this.settle(JSON.parse(line))
        }
      },
  },
  {
    name: "nobody listens for the socket's errors",
    source: 'five of seven peers: an idle connection that is reset ends the process',
    rule: 'R30',
    mutate: Base =>
      class extends Base {
        protected override async connect(): Promise<Socket> {
          const socket = await super.connect()
          return socket.removeAllListeners('error')
        }
      },
  },
  {
    name: 'a command hangs while the server is away',
    source: 'five of seven peers: no answer in 12 s; the `memcached` driver',
    rule: 'R31',
    mutate: Base =>
      class extends Base {
        override get(key: string): Promise<Uint8Array | undefined> {
          return super.get(key).catch(error => {
            if (timedOut(error)) return new Promise<undefined>(() => {})
            throw error
          })
        }
      },
  },
  {
    name: 'each of three attempts has the whole timeout',
    source: 'maxRetriesPerRequest',
    rule: 'R31',
    mutate: Base =>
      class extends Base {
        override get(key: string): Promise<Uint8Array | undefined> {
          const again = (error: CacheError): Promise<Uint8Array | undefined> => {
            if (error.retryable) return super.get(key)
            throw error
          }
          return super.get(key).catch(again).catch(again)
        }
      },
  },
  {
    name: 'bytes that trickle in hold a call up for ever',
    source: 'idle timeouts for total deadlines: cases.md fault 13',
    rule: 'R31',
    mutate: Base =>
      class extends Base {
        #latest = 0
        protected override async connect(): Promise<Socket> {
          const socket = await super.connect()
          return socket.on('data', () => {
            this.#latest = performance.now()
          })
        }
        override has(key: string): Promise<boolean> {
          return super.has(key).catch(error => {
            if (timedOut(error) && performance.now() - this.#latest < 100) return new Promise<boolean>(() => {})
            throw error
          })
        }
      },
  },
  {
    name: 'clear() takes the passing of time for progress',
    source: 'heartbeats that renew deadlines',
    rule: 'R31',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string, progress?: () => void): Promise<void> {
          let done = false
          const cleared = super._clear(prefix).finally(() => {
            done = true
          })
          while (!done) {
            progress?.()
            await Promise.race([cleared, sleep(50)])
          }
        }
      },
  },
  {
    name: 'an outage is the fault of the caller',
    source: 'catch-all error codes',
    rule: 'R31',
    mutate: Base =>
      class extends Base {
        protected override _toError(): { code: 'CACHE_INVALID_ARGUMENT' } {
          return { code: 'CACHE_INVALID_ARGUMENT' }
        }
      },
  },
  {
    name: 'an outage is a failure of no known kind in batches',
    source: 'MongoDB: its driver gives whatever ends a bulk write a name of its own',
    rule: 'R31',
    mutate: Base =>
      class extends Base {
        override setMany(...args: Parameters<NetworkBackend['setMany']>): Promise<void> {
          return super.setMany(...args).catch(error => {
            throw error.code === 'CACHE_UNAVAILABLE'
              ? new CacheError({ ...error, code: 'CACHE_BACKEND_FAILED' })
              : error
          })
        }
      },
  },
  {
    name: "the driver's errors escape",
    source: 'smell 14, vendor leak',
    rule: 'R32',
    mutate: Base =>
      class extends Base {
        override set(...args: Parameters<NetworkBackend['set']>): Promise<void> {
          return super.set(...args).catch(error => {
            throw error.cause ?? error
          })
        }
      },
  },
  {
    name: 'a failed write does not say whether it was applied',
    source: 'cases.md group M: outcome',
    rule: 'R32',
    mutate: Base =>
      class extends Base {
        override delete(key: string): Promise<boolean> {
          return super.delete(key).catch(({ code, message, backend, operation }) => {
            throw new CacheError({ code, message, backend, operation })
          })
        }
      },
  },
  {
    name: 'messages of outages hold the key',
    source: 'cases.md group M: no secrets',
    rule: 'R32',
    mutate: Base =>
      class extends Base {
        override get(key: string): Promise<Uint8Array | undefined> {
          return super.get(key).catch(error => {
            error.message = `GET ${key}: ${error.message}`
            throw error
          })
        }
      },
  },
  {
    name: 'a lost connection stays lost',
    source: 'clients without reconnection',
    rule: 'R33',
    mutate: Base =>
      class extends Base {
        protected override lose(socket: Socket): void {
          super.lose(socket)
          this.socket = socket
        }
        protected override async send(request: Omit<Request, 'number'>): Promise<unknown> {
          if (this.socket?.destroyed) throw new ConnectionLost(false)
          return super.send(request)
        }
      },
  },
  {
    name: 'it reconnects after 5 s',
    source: 'back-offs without a bound; a dead memcached server is retried after hours',
    rule: 'R33',
    mutate: Base =>
      class extends Base {
        #lost = Number.NEGATIVE_INFINITY
        protected override lose(socket: Socket): void {
          this.#lost = performance.now()
          super.lose(socket)
        }
        protected override async connect(): Promise<Socket> {
          if (performance.now() < this.#lost + 5000) throw new ConnectionLost(false)
          return super.connect()
        }
      },
  },
  {
    name: 'a failed first connection is remembered',
    source: 'a cached promise that rejected',
    rule: 'R33',
    mutate: Base =>
      class extends Base {
        #first: Promise<Socket> | undefined
        protected override connection(): Promise<Socket> {
          this.#first ??= super.connection()
          return this.#first.then(() => super.connection())
        }
      },
  },
  {
    name: 'a late reply is given to the next caller',
    source: 'a driver that matches replies by order, over a connection that survives a timeout: cases.md fault 8',
    rule: 'R34',
    mutate: Base =>
      class extends Base {
        protected override _timedOut(): void {
          this.waiting.delete(this.waiting.keys().next().value ?? -1)
        }
        protected override settle({ answer }: Reply): void {
          super.settle({ number: this.waiting.keys().next().value ?? -1, answer })
        }
      },
  },
  {
    name: 'half a reply counts as a whole one',
    source: 'cases.md fault 6: cut in the middle of a reply',
    rule: 'R34',
    mutate: Base =>
      class extends Base {
        protected override async connect(): Promise<Socket> {
          const socket = await super.connect()
          let rest = ''
          socket.on('data', chunk => {
            rest = (rest + chunk).split('\n').at(-1) ?? ''
          })
          return socket.prependListener('close', () => {
            const [, number, value] = /"number":(\d+).*"value":"([^"]*)/.exec(rest) ?? []
            if (value !== undefined) this.settle({ number: Number(number), answer: { value } })
          })
        }
      },
  },
  {
    name: 'a write is done when its bytes are written',
    source: 'fire and forget: acknowledged, and lost with the connection',
    rule: 'R4',
    mutate: Base =>
      class extends Base {
        protected override async _set(id: string, entry: NewEntry): Promise<void> {
          await this.connection()
          void super._set(id, entry).catch(() => {})
        }
      },
  },
  {
    name: 'what was under way is sent again over the next connection',
    source: 'ioredis autoResendUnfulfilledCommands',
    rule: 'R35',
    mutate: Base =>
      class extends Base {
        protected override _timedOut(): void {}
        protected override lose(socket: Socket): void {
          const again = this.socket === socket ? [...this.waiting.values()] : []
          this.waiting.clear()
          super.lose(socket)
          for (const { request, resolve, reject } of again) {
            void sleep(10)
              .then(() => this.send(request))
              .then(resolve, reject)
          }
        }
      },
  },
  {
    name: 'a write with an unknown outcome is tried again',
    source: 'AWS and gRPC retries without idempotence',
    rule: 'R35',
    mutate: Base =>
      class extends Base {
        override increment(...args: Parameters<NetworkBackend['increment']>): Promise<number> {
          return super.increment(...args).catch(error => {
            if (error.outcome === 'unknown') return super.increment(...args)
            throw error
          })
        }
      },
  },
  {
    name: 'a write that timed out is said not to be applied',
    source: 'outcome guessed from the code',
    rule: 'R35',
    mutate: Base =>
      class extends Base {
        override increment(...args: Parameters<NetworkBackend['increment']>): Promise<number> {
          return super.increment(...args).catch(error => {
            throw new CacheError({ ...error, message: error.message, outcome: 'not-applied' })
          })
        }
      },
  },
]
