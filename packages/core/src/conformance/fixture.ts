import { randomUUID } from 'node:crypto'
import type { CacheBackend } from '../backend.ts'
import type { BackendOptions } from '../base-backend.ts'
import { Clock } from './clock.ts'
import type { ConformanceOptions } from './conformance.ts'
import { FaultProxy } from './fault-proxy.ts'
import type { Random } from './random.ts'

/** Long enough for a busy machine: that calls settle in time is tested where the network is at fault. */
const PATIENT = 10_000

/** Where a case runs: in the namespace of the backend itself, or in one made from it. */
export type Scope = 'root' | 'namespace'

/** What one run of a case works with: backends of its own, in namespaces that no other run uses. */
export class Fixture {
  readonly clock: Clock = new Clock()
  readonly random: Random
  /** The namespace of `root()`. Other names of the case start with it. */
  readonly name: string = `kit-${randomUUID().slice(0, 13)}`
  notSupported = false
  readonly #options: ConformanceOptions
  readonly scope: Scope
  readonly #roots = new Map<CacheBackend, string>()
  readonly #proxies: FaultProxy[] = []

  constructor(options: ConformanceOptions, scope: Scope, random: Random) {
    this.#options = options
    this.scope = scope
    this.random = random
  }

  /** A new backend on the store. */
  async root(
    options: BackendOptions = {},
    server: ConformanceOptions['server'] = this.#options.server,
  ): Promise<CacheBackend> {
    const complete = { namespace: this.name, now: this.clock.now, timeout: PATIENT, ...options }
    // Plain data, also where it is a proxy.
    const root = await this.#options.create(complete, server && { host: server.host, port: server.port })
    this.#roots.set(root, complete.namespace ?? '')
    if (root.supports.clock === 'caller') this.clock.freeze()
    return root
  }

  /** A new backend on the store, in the scope of the case. */
  async backend(options?: BackendOptions): Promise<CacheBackend> {
    return this.#inScope(await this.root(options))
  }

  /** Several callers of the same entries: backends of their own where the store is shared, views of one where it is not. */
  async clients(count: number): Promise<[CacheBackend, ...CacheBackend[]]> {
    const root = await this.root()
    const clients: [CacheBackend] = [this.#inScope(root)]
    while (clients.length < count) {
      clients.push(root.supports.shared ? await this.backend() : this.scope === 'root' ? root : this.#inScope(root))
    }
    return clients
  }

  /** A proxy of its own before the server; only where the options name one. */
  async proxy(): Promise<FaultProxy> {
    if (this.#options.server === undefined) throw new Error('there is no server to put a proxy before')
    const proxy = await FaultProxy.start(this.#options.server)
    this.#proxies.push(proxy)
    return proxy
  }

  /** The prefix under which core keeps the entries of `backend()`. */
  get idPrefix(): string {
    return this.scope === 'root' ? `${this.name}:` : `${this.name}:@x:`
  }

  /**
   * Runs a proof that has to be done while an entry of this ttl lives. It answers whether it was in time; if not, it runs
   * again with a longer one, for the sake of busy machines.
   */
  async inTime(ttl: number, proof: (ttl: number) => Promise<boolean>): Promise<void> {
    if (await proof(ttl)) return
    if (ttl > 5000) throw new Error('this machine is too slow to tell')
    await this.inTime(4 * ttl, proof)
  }

  /** Ends a case whose subject the backend does not claim: it was proven in another case that it does not. */
  declines(): void {
    this.notSupported = true
  }

  /** Leaves the store as it was. A backend that cannot is found out by the cases for `clear` and `close`, not here. */
  async dispose(): Promise<void> {
    await Promise.all(this.#proxies.map(proxy => proxy.end()))
    const namespaces = new Set(this.#roots.values())
    for (const [root, namespace] of [...this.#roots]) {
      if (namespaces.has(namespace) && (await settles(root.clear()))) namespaces.delete(namespace)
    }
    // The case has closed all backends of the namespaces that are left.
    for (const namespace of namespaces) await settles(this.root({ namespace }).then(root => root.clear()))
    await Promise.all([...this.#roots.keys()].map(root => settles(root.close())))
    await Promise.all(this.#proxies.map(proxy => proxy.close()))
  }

  #inScope(root: CacheBackend): CacheBackend {
    return this.scope === 'root' ? root : root.namespace('x')
  }
}

async function settles(promise: Promise<unknown>): Promise<boolean> {
  try {
    await promise
    return true
  } catch {
    return false
  }
}
