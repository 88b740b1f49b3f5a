import type { NetConnectOpts } from 'node:net'
import { CacheError } from '@cachekit/core'
import { assertDone } from './errors.ts'
import { Link } from './link.ts'
import { type Command, gets, type Reply, store } from './protocol.ts'
import { generationKey, generationKeys, newGeneration, tagOf } from './schema.ts'

/** How many namespaces' generations are remembered for a server. Forgetting them costs a round trip. */
const MAX_KNOWN = 10_000

/** The generations of a namespace and of those that it lies in, as a server had them when it was last heard. */
export interface Generation {
  readonly values: readonly string[]
  /** What keys of entries end with as long as these are the generations. */
  readonly tag: string
}

/** A namespace on a server. */
interface Namespace {
  /** The keys of its generations. */
  readonly keys: readonly string[]
  readonly getGenerations: Command
  generation: Promise<Generation> | undefined
}

/** What commands answered, and the generation that was certainly current when they ran. */
export interface Answer {
  readonly replies: readonly Reply[]
  readonly generation: Generation
}

/** One server: the connection to it, and the generations of the namespaces on it. Each server has its own. */
export class MemcachedServer {
  readonly #address: string
  readonly #where: NetConnectOpts
  readonly #timeout: number
  #link: Link | undefined
  #closed = false
  readonly #namespaces = new Map<string, Namespace>()

  /**
   * @param address As the driver has it: `host:port` or the path of a Unix socket.
   * @param timeout Milliseconds that a call of the backend has. An attempt to connect gets half of it, which leaves time
   * for a second one, but at least a second: it goes on when the call that began it has given up.
   */
  constructor(address: string, timeout: number) {
    this.#address = address
    this.#where = toConnectOptions(address)
    this.#timeout = timeout
  }

  /** A connection that has been answered. All that want one at the same time wait for the same attempt. */
  async open(): Promise<Link> {
    if (this.#closed) throw new CacheError({ code: 'CACHE_CLOSED', message: 'This memcached backend was closed.' })
    if (this.#link === undefined || this.#link.ended) {
      this.#link = new Link(this.#address, this.#where, Math.max(1000, this.#timeout / 2))
    }
    const link = this.#link
    try {
      await link.ready
    } catch (error) {
      // Whatever went wrong, no command of a caller was sent.
      const { code, message, cause, retryable } = error as CacheError
      throw new CacheError({ code, message, cause, retryable, outcome: 'not-applied' })
    }
    return link
  }

  /** Some call got no answer: ends the connection if that may be dead. */
  dropIfSilent(): void {
    if (this.#link !== undefined && this.#link.silence > this.#timeout / 4) this.#link.end()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#link?.close()
  }

  /**
   * Runs commands on the entries of a namespace, again if it turns out that the generation has changed: then they have
   * met only entries that were cleared, and no one will ever see what they did.
   *
   * @param commands Makes the commands for the tag that keys end with.
   * @param read Makes keys that are read with the generations; the last reply has them.
   */
  async run(
    prefix: string,
    commands: (tag: string) => readonly Command[],
    read?: (tag: string) => readonly string[],
  ): Promise<Answer> {
    const end = performance.now() + this.#timeout
    while (performance.now() < end) {
      const generation = await this.#generation(this.#namespace(prefix))
      const replies = await this.runIn(generation, prefix, commands(generation.tag), read?.(generation.tag))
      if (replies !== undefined) return { replies, generation }
    }
    throw new CacheError({
      code: 'CACHE_UNAVAILABLE',
      message: 'this namespace is cleared, or its generation evicted, faster than it can be used',
    })
  }

  /**
   * Runs commands on the entries of a namespace in one round trip; `undefined` if this generation was no longer current,
   * which makes them undone. The generations are read after all else and never come back, so if they are the same then,
   * they were so before.
   */
  async runIn(
    generation: Generation,
    prefix: string,
    commands: readonly Command[],
    read?: readonly string[],
  ): Promise<readonly Reply[] | undefined> {
    const namespace = this.#namespace(prefix)
    const link = await this.open()
    const last = read === undefined ? namespace.getGenerations : gets([...read, ...namespace.keys])
    const replies = await link.request([...commands, last])
    const values = generationsIn(replies.at(-1) as Reply, namespace.keys)
    if (values?.every((value, index) => value === generation.values[index])) return replies
    namespace.generation = values && Promise.resolve({ values, tag: tagOf(values) })
    return undefined
  }

  /** Gives a namespace a new generation: all entries in it, and in those made from it, are old. */
  async clear(prefix: string): Promise<void> {
    const link = await this.open()
    const [reply] = (await link.request([store('set', generationKey(prefix), 0, newGeneration())])) as [Reply]
    assertDone(reply)
  }

  #namespace(prefix: string): Namespace {
    const known = this.#namespaces.get(prefix)
    if (known !== undefined) return known
    const keys = generationKeys(prefix)
    const namespace: Namespace = { keys, getGenerations: gets(keys), generation: undefined }
    if (this.#namespaces.size >= MAX_KNOWN) this.#namespaces.clear()
    this.#namespaces.set(prefix, namespace)
    return namespace
  }

  #generation(namespace: Namespace): Promise<Generation> {
    if (namespace.generation !== undefined) return namespace.generation
    const learned = this.#learn(namespace)
    namespace.generation = learned
    learned.catch(() => {
      namespace.generation = undefined
    })
    return learned
  }

  /** Reads the generations of a namespace. One that is not there, perhaps evicted, becomes one that never was. */
  async #learn({ keys, getGenerations }: Namespace): Promise<Generation> {
    const link = await this.open()
    const replies = await link.request([...keys.map(key => store('add', key, 0, newGeneration())), getGenerations])
    const values = generationsIn(replies.pop() as Reply, keys)
    if (values !== undefined) return { values, tag: tagOf(values) }
    replies.forEach(assertDone)
    throw new CacheError({
      code: 'CACHE_BACKEND_FAILED',
      message: 'Memcached is so full that it does not keep the generation of a namespace: raise -m',
      retryable: true,
      outcome: 'not-applied',
    })
  }
}

/** `undefined` unless all of them are there. */
function generationsIn(reply: Reply, keys: readonly string[]): string[] | undefined {
  assertDone(reply)
  const values = keys.flatMap(key => reply.items.get(key)?.value.toString('latin1') ?? [])
  return values.length === keys.length ? values : undefined
}

function toConnectOptions(address: string): NetConnectOpts {
  if (address.startsWith('/')) return { path: address }
  const [, name = address, port = '11211'] = /^(.*):(\d+)$/.exec(address) ?? []
  return { host: name.replace(/^\[|\]$/g, ''), port: Number(port) }
}
