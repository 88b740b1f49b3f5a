import type { CacheBus } from './bus.ts'
import { newId } from './record.ts'

/** Bounds what is remembered. Hashes that share a slot are dropped together, which costs a read of the store. */
const SLOTS = 65_536
/** Milliseconds. A process that does not hear its own heartbeat knows that the bus is lost. */
const HEARTBEAT = 1000
/** So many publishers are remembered. Most are processes that have ended long ago. */
const MOST_PUBLISHERS = 1000

/** What a key, a tag or a namespace is called on the bus. Two may share a name: then both are dropped. */
export const hashOf = (id: string): number => process.getBuiltinModule('node:zlib').crc32(id)

/** What goes over the bus: hashes, and no keys or values. */
interface Message {
  readonly cachekit: 1
  readonly from: string
  /** Counts the messages of one publisher. */
  readonly count: number
  readonly hashes: readonly number[]
}

/**
 * Which values of the local tier are out of date. Every value knows when the read of the store began that it came from;
 * here is when each hash was last invalidated, by this process or, over the bus, by another one. So a value that was
 * invalidated while it was read is out of date from the beginning.
 */
export class Invalidations {
  readonly #bus: CacheBus | undefined
  readonly #onFailure: (error: unknown) => void
  /** When each slot was last invalidated. */
  readonly #times = new Map<number, number>()
  /** Counts the invalidations. */
  #clock = 0
  /** When everything was invalidated. */
  #all = 0
  readonly #id = newId()
  #sent = 0
  /** The last message of our own that came back. */
  #returned = 0
  /** The last message before the last heartbeat. */
  #expected = 0
  /** How many messages each has sent. */
  readonly #publishers = new Map<string, number>()
  readonly #publishing = new Set<Promise<void>>()
  #subscription: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(bus: CacheBus | undefined, onFailure: (error: unknown) => void) {
    this.#bus = bus
    this.#onFailure = onFailure
  }

  /** The moment, by the clock of `isCurrent`. */
  now(): number {
    return this.#clock
  }

  /** Whether nothing of this was invalidated since. */
  isCurrent(hashes: readonly number[], since: number): boolean {
    if (since === this.#clock) return true
    return since >= this.#all && hashes.every(hash => (this.#times.get(hash % SLOTS) ?? 0) <= since)
  }

  add(hashes: readonly number[]): void {
    this.#clock++
    for (const hash of hashes) this.#times.set(hash % SLOTS, this.#clock)
  }

  #addAll(): void {
    this.#all = ++this.#clock
  }

  /** Tells the other processes. Nobody waits for that: what it promises is bounded by the life of local values. */
  publish(hashes: readonly number[]): void {
    if (this.#bus === undefined) return
    void this.open()
    const message: Message = { cachekit: 1, from: this.#id, count: ++this.#sent, hashes }
    const send = async (): Promise<void> => this.#bus?.publish(Buffer.from(JSON.stringify(message)))
    const publishing: Promise<void> = send()
      .catch(this.#onFailure)
      .finally(() => this.#publishing.delete(publishing))
    this.#publishing.add(publishing)
  }

  /** Resolves once messages arrive, or once that has failed; then it is tried again. */
  async open(): Promise<void> {
    if (this.#bus === undefined) return
    this.#timer ??= setInterval(() => this.#beat(), HEARTBEAT).unref()
    const lost = (): void => this.#addAll()
    this.#subscription ??= this.#bus
      .subscribe(message => this.#receive(message), lost)
      .then(lost, error => {
        this.#subscription = undefined
        this.#onFailure(error)
      })
    await this.#subscription
  }

  #beat(): void {
    if (this.#returned < this.#expected) this.#addAll()
    if (this.#publishers.size > MOST_PUBLISHERS) this.#publishers.clear()
    this.publish([])
    this.#expected = this.#sent
  }

  #receive(bytes: Uint8Array): void {
    try {
      const { cachekit, from, count, hashes } = JSON.parse(Buffer.from(bytes).toString()) as Message
      if (from === this.#id) {
        this.#returned = count
        return
      }
      this.add(hashes)
      // One who is not remembered counts as one who lost messages, unless this is its first.
      if (cachekit !== 1 || count !== (this.#publishers.get(from) ?? 0) + 1) this.#addAll()
      this.#publishers.set(from, count)
    } catch {
      // Whatever it says, something was invalidated.
      this.#addAll()
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#publishing)
    await this.#bus?.close()
  }
}
