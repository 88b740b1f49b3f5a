import {
  type BackendOptions,
  type BackendSupports,
  BaseBackend,
  CacheError,
  describeArgument,
  invalidArgument,
  isCacheError,
  type NewEntry,
  type Progress,
  type StoredEntry,
  splitId,
} from '@cachekit/core'
import { type ConnectionOptions, createRing, type Ring } from './connection-options.ts'
import { assertDone, replyError } from './errors.ts'
import { type Generation, MemcachedServer } from './memcached-server.ts'
import { type Command, compareAndStore, gets, type Reply, remove, store } from './protocol.ts'
import { decodeRecord, encodeRecord, entryKey, RECORD_OVERHEAD, recordName, toExptime } from './schema.ts'

/** Options of {@link MemcachedBackend}. Without `client` and `servers` it connects to `127.0.0.1:11211`. */
export interface MemcachedBackendOptions extends BackendOptions, ConnectionOptions {
  /**
   * The largest item that all the servers take, in bytes, as they were started with `-I`. Values may have 512 bytes less
   * (`supports.maxValueBytes`). Default: 1048576, Memcached's own. A server that says that it takes less is heeded.
   */
  readonly maxItemSize?: number | undefined
}

const SUPPORTS: Omit<BackendSupports, 'maxValueBytes'> = {
  clock: 'caller',
  persistent: false,
  shared: true,
  evicts: true,
  iteration: false,
}

/** How many keys, and about how many bytes of values, go into one batch; and how many keys into one command of it. */
const BATCH = { keys: 1000, bytes: 4 * 1024 * 1024 }
const KEYS_OF_COMMAND = 100

/** Where the entry of an id is. */
interface Place {
  readonly id: string
  readonly server: MemcachedServer
  /** Of its namespace. */
  readonly prefix: string
  readonly name: string
}

/** A record as it was read: with what it takes to replace it, and nothing else. */
interface Found {
  readonly place: Place
  readonly generation: Generation
  readonly record: Buffer
  readonly cas: string
}

type FoundEntry = StoredEntry & { readonly found: Found }
type Failed = (id: string, error: unknown) => void

/**
 * Entries in Memcached, on one server or spread over many. An entry is an item whose value begins with its deadline, and
 * whose key ends with the generation of its namespace.
 */
export class MemcachedBackend extends BaseBackend {
  readonly #ring: Ring
  readonly #servers: ReadonlyMap<string, MemcachedServer>

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: MemcachedBackendOptions = {}) {
    const { maxItemSize = 1024 * 1024 } = options
    if (!Number.isSafeInteger(maxItemSize) || maxItemSize < 2048 || maxItemSize > 1024 ** 3) {
      throw invalidArgument(`maxItemSize must be between 2 KiB and 1 GiB, not ${describeArgument(maxItemSize)}.`)
    }
    super('memcached', { ...SUPPORTS, maxValueBytes: maxItemSize - RECORD_OVERHEAD }, options)
    this.#ring = createRing(options)
    this.#servers = new Map(this.#ring.servers.map(address => [address, new MemcachedServer(address, this.timeout)]))
  }

  /** Connects to all servers, and is content with one: calls for keys on the others say that those are away. */
  protected override async _open(): Promise<void> {
    const attempts = this.#all().map(server => server.open())
    await Promise.any(attempts).catch(() => attempts[0])
  }

  protected override async _close(): Promise<void> {
    await Promise.all(this.#all().map(server => server.close()))
  }

  protected override _timedOut(): void {
    for (const server of this.#all()) server.dropIfSilent()
  }

  protected override async _get(id: string): Promise<FoundEntry | undefined> {
    const found = await this.#read(this.#place(id))
    return found && decode(found)
  }

  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const entries = new Map<string, StoredEntry>()
    await this.inBatches(ids, BATCH, progress, (batch, failed) =>
      this.#together(batch, failed, async (server, prefix, places) => {
        const chunks = Array.from({ length: Math.ceil(places.length / KEYS_OF_COMMAND) }, (_, index) =>
          places.slice(index * KEYS_OF_COMMAND, (index + 1) * KEYS_OF_COMMAND),
        )
        const { replies, generation } = await server.run(prefix, tag =>
          chunks.map(chunk => gets(chunk.map(({ name }) => entryKey(name, tag)))),
        )
        for (const [index, chunk] of chunks.entries()) {
          const reply = replies[index] as Reply
          assertDone(reply)
          for (const { id, name } of chunk) {
            const item = reply.items.get(entryKey(name, generation.tag))
            const entry = item && decodeOrMiss(item.value)
            if (entry !== undefined) entries.set(id, entry)
          }
        }
      }),
    )
    return ids.map(id => entries.get(id))
  }

  protected override async _set(id: string, entry: NewEntry): Promise<void> {
    const { server, prefix, name } = this.#place(id)
    const record = await this.#encode(server, entry)
    const { replies } = await server.run(prefix, tag => [
      store('set', entryKey(name, tag), this.#exptime(entry), record),
    ])
    assertDone(replies[0] as Reply)
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    await this.inBatches(entries, BATCH, progress, (batch, failed) => {
      const byId = new Map(batch)
      return this.#together([...byId.keys()], failed, async (server, prefix, places) => {
        const sets: { readonly place: Place; readonly entry: NewEntry; readonly record: Buffer }[] = []
        for (const place of places) {
          const entry = byId.get(place.id) as NewEntry
          await this.#encode(server, entry).then(
            record => sets.push({ place, entry, record }),
            error => failed(place.id, error),
          )
        }
        const { replies } = await server.run(prefix, tag =>
          sets.map(({ place, entry, record }) => store('set', entryKey(place.name, tag), this.#exptime(entry), record)),
        )
        failRefused(
          replies,
          sets.map(({ place }) => place),
          failed,
        )
      })
    })
  }

  protected override async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.inBatches(ids, BATCH, progress, (batch, failed) =>
      this.#together(batch, failed, async (server, prefix, places) => {
        const { replies } = await server.run(prefix, tag => places.map(({ name }) => remove(entryKey(name, tag))))
        failRefused(replies, places, failed)
      }),
    )
  }

  protected override async _add(id: string, entry: NewEntry, progress: Progress): Promise<boolean> {
    const place = this.#place(id)
    const { server, prefix, name } = place
    const record = await this.#encode(server, entry)
    for (;;) {
      const { replies, generation } = await server.run(prefix, tag => {
        const key = entryKey(name, tag)
        return [gets([key]), store('add', key, this.#exptime(entry), record)]
      })
      const [before, added] = replies as [Reply, Reply]
      if (isDone(added)) return true
      // Memcached itself knows only whether there is a record, and it outlives its deadline there.
      const found = toFound(place, generation, before)
      if (found !== undefined) {
        const present = decode(found)
        if (this.isLive(present)) return false
        if (await this._swap(id, present, entry)) return true
      }
      progress()
    }
  }

  protected override async _swap(
    id: string,
    expected: StoredEntry | undefined,
    next: NewEntry | undefined,
  ): Promise<boolean> {
    if (expected !== undefined) return this.#replace((expected as FoundEntry).found, next)
    const place = this.#place(id)
    if (next === undefined) return (await this.#read(place)) === undefined
    const { server, prefix, name } = place
    const record = await this.#encode(server, next)
    const { replies } = await server.run(prefix, tag => [
      store('add', entryKey(name, tag), this.#exptime(next), record),
    ])
    return isDone(replies[0] as Reply)
  }

  /** As the base would do it, but it removes a record that is not ours, too. */
  protected override async _delete(id: string, progress: Progress): Promise<boolean> {
    const place = this.#place(id)
    for (;;) {
      const found = await this.#read(place)
      if (found === undefined) return false
      const entry = decodeOrMiss(found.record)
      if (await this.#replace(found, undefined)) return entry === undefined || this.isLive(entry)
      progress()
    }
  }

  protected override async _clear(prefix: string): Promise<void> {
    const results = await Promise.allSettled(this.#all().map(server => server.clear(prefix)))
    const failures = results.flatMap(result => (result.status === 'rejected' ? [result.reason as CacheError] : []))
    const [failure] = failures
    if (failure === undefined) return
    if (failures.length === results.length) throw failure
    const { code, message, cause, retryable } = failure
    throw new CacheError({ code, message: `${message}; the other servers are cleared`, cause, retryable })
  }

  #all(): MemcachedServer[] {
    return [...this.#servers.values()]
  }

  #place(id: string): Place {
    const name = recordName(id)
    const server = this.#servers.get(this.#ring.serverOf(name)) as MemcachedServer
    return { id, server, prefix: splitId(id).prefix, name }
  }

  async #read(place: Place): Promise<Found | undefined> {
    const { server, prefix, name } = place
    const { replies, generation } = await server.run(
      prefix,
      () => [],
      tag => [entryKey(name, tag)],
    )
    return toFound(place, generation, replies[0] as Reply)
  }

  /** Puts `next` (`undefined`: nothing) in the place of what was read, unless anything was written or cleared there since. */
  async #replace({ place, generation, cas }: Found, next: NewEntry | undefined): Promise<boolean> {
    const { server, prefix, name } = place
    const key = entryKey(name, generation.tag)
    // Nothing deletes by cas, but what is stored with a negative time has expired at once.
    const command: Command =
      next === undefined
        ? compareAndStore(key, -1, Buffer.alloc(0), cas)
        : compareAndStore(key, this.#exptime(next), await this.#encode(server, next), cas)
    const replies = await server.runIn(generation, prefix, [command])
    return replies !== undefined && isDone(replies[0] as Reply)
  }

  /** Has `send` send the ids of one namespace on one server together; what it throws has failed for all of them. */
  async #together(
    ids: readonly string[],
    failed: Failed,
    send: (server: MemcachedServer, prefix: string, places: readonly Place[]) => Promise<void>,
  ): Promise<void> {
    const groups = new Map<MemcachedServer, Map<string, Place[]>>()
    for (const place of ids.map(id => this.#place(id))) {
      const byPrefix = groups.get(place.server) ?? new Map<string, Place[]>()
      const places = byPrefix.get(place.prefix) ?? []
      places.push(place)
      groups.set(place.server, byPrefix.set(place.prefix, places))
    }
    const sent = [...groups].flatMap(([server, byPrefix]) =>
      Array.from(byPrefix, ([prefix, places]) =>
        send(server, prefix, places).catch((error: unknown) => {
          for (const { id } of places) failed(id, error)
        }),
      ),
    )
    await Promise.all(sent)
  }

  /** @throws `CACHE_VALUE_TOO_LARGE` for a value that this server does not take: it would drop the old one, too. */
  async #encode(server: MemcachedServer, entry: NewEntry): Promise<Buffer> {
    const { itemSizeMax = Number.POSITIVE_INFINITY } = await server.open()
    const limit = itemSizeMax - RECORD_OVERHEAD
    if (entry.value.byteLength > limit) {
      throw new CacheError({
        code: 'CACHE_VALUE_TOO_LARGE',
        message: `The value has ${entry.value.byteLength} bytes; this Memcached takes at most ${limit} (-I).`,
      })
    }
    return encodeRecord(entry)
  }

  #exptime({ ttl, expiresAt }: NewEntry): number {
    return toExptime(ttl ?? (expiresAt && expiresAt - this.now()))
  }
}

function toFound(place: Place, generation: Generation, reply: Reply): Found | undefined {
  assertDone(reply)
  const item = reply.items.get(entryKey(place.name, generation.tag))
  return item && { place, generation, record: item.value, cas: item.cas }
}

function decode(found: Found): FoundEntry {
  return { ...decodeRecord(found.record), found }
}

/** A record that is not ours is a miss where it must not fail a whole batch. */
function decodeOrMiss(record: Buffer): StoredEntry | undefined {
  try {
    return decodeRecord(record)
  } catch (error) {
    if (isCacheError(error, 'CACHE_CORRUPT_ENTRY')) return undefined
    throw error
  }
}

/** Tells of the commands of a batch, one for each place, that the server refused. */
function failRefused(replies: readonly Reply[], places: readonly Place[], failed: Failed): void {
  for (const [index, { id }] of places.entries()) {
    const error = replyError((replies[index] as Reply).line)
    if (error !== undefined) failed(id, error)
  }
}

/** Whether a command that stores has stored. */
function isDone(reply: Reply): boolean {
  assertDone(reply)
  return reply.line === 'STORED'
}
