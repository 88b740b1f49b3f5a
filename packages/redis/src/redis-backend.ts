import {
  type BackendEntry,
  type BackendOptions,
  type BackendSupports,
  type BatchItem,
  CacheError,
  type CacheErrorFields,
  counterOverflow,
  type Deadline,
  NativeBackend,
  type NewEntry,
  notACounter,
  type Progress,
  type StoredEntry,
} from '@cachekit/core'
import type { NodeClient, RedisClient, ScriptingClient } from './client.ts'
import { RedisConnection } from './connection.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { toErrorFields } from './errors.ts'
import {
  COMPARE_AND_DELETE,
  COMPARE_AND_SET,
  COUNTER_OVERFLOW,
  GET_ENTRY,
  INCREMENT,
  NOT_A_COUNTER,
  PERSIST,
  type Script,
} from './scripts.ts'

/** Options of {@link RedisBackend}. Without `client`, `url` and `cluster` it connects to `redis://127.0.0.1:6379`. */
export interface RedisBackendOptions extends BackendOptions, ConnectionOptions {}

const SUPPORTS: BackendSupports = {
  /** `proto-max-bulk-len`, which an operator can change. */
  maxValueBytes: 512 * 1024 * 1024,
  clock: 'store',
  /** Whether entries survive a restart is a matter of the server's configuration, so nobody should count on it. */
  persistent: false,
  shared: true,
  /** As `maxmemory-policy` says. */
  evicts: true,
  iteration: true,
}

/** How many keys, and about how many bytes of values, go into one command or pipeline. */
const BATCH = { keys: 1000, bytes: 4 * 1024 * 1024 }
/** How many keys one SCAN looks at: well under a millisecond of the server's time. */
const SCAN_COUNT = 1000

type Failed = (id: string, error: unknown) => void

/**
 * Entries in Redis or Valkey: one server, Sentinels or a Cluster. An entry is a plain string under its physical id, with
 * Redis' own expiry, so `redis-cli` reads it.
 */
export class RedisBackend extends NativeBackend {
  readonly #connection: RedisConnection

  /** @throws `CACHE_INVALID_ARGUMENT` for an option that is not what it should be. Does no I/O. */
  constructor(options: RedisBackendOptions = {}) {
    super('redis', SUPPORTS, options)
    this.#connection = new RedisConnection(options, this.timeout, () => this.disconnected())
  }

  protected override _open(): Promise<void> {
    return this.#connection.open()
  }

  protected override _close(): Promise<void> {
    return this.#connection.close()
  }

  protected override _timedOut(): void {
    this.#connection.drop()
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    return toErrorFields(error)
  }

  protected override async _get(id: string): Promise<StoredEntry | undefined> {
    const value = await this.#connection.client.getBuffer(id)
    return value === null ? undefined : { value }
  }

  protected override async _getEntry(id: string): Promise<BackendEntry | undefined> {
    const reply = (await this.#run(GET_ENTRY, id)) as [value: Buffer, ttl: number] | null
    if (reply === null) return undefined
    const [value, ttl] = reply
    // PTTL is 0 during the last millisecond.
    return { value, ttl: Number(ttl) < 0 ? undefined : Math.max(1, Number(ttl)) }
  }

  protected override async _has(id: string): Promise<boolean> {
    return Number(await this.#connection.client.exists(id)) === 1
  }

  protected override readonly _repeats = true

  protected override async _getMany(
    ids: readonly string[],
    progress: Progress,
  ): Promise<readonly (StoredEntry | undefined)[]> {
    const entries = new Array<StoredEntry | undefined>(ids.length)
    await this.inBatches(ids, BATCH, progress, async (batch, failed, start) => {
      const { client } = this.#connection
      // Also for one key MGET and not GET: a structure that is not ours is a miss here, and fails no batch.
      const values = client.isCluster
        ? (await this.#each(batch, failed, id => client.mgetBuffer([id]))).map(answer => answer?.[0])
        : await client.mgetBuffer(batch)
      for (let index = 0; index < values.length; index++) {
        const value = values[index]
        entries[start + index] = value ? { value } : undefined
      }
    })
    return entries
  }

  protected override async _set(id: string, entry: NewEntry): Promise<void> {
    await set(this.#connection.client, id, entry)
  }

  protected override async _setMany(
    entries: readonly (readonly [id: string, entry: NewEntry])[],
    progress: Progress,
  ): Promise<void> {
    await this.inBatches(entries, BATCH, progress, async (batch, failed) => {
      const { client } = this.#connection
      await this.#each(batch, failed, ([id, entry]) => set(client, id, entry))
    })
  }

  protected override async _add(id: string, { value, ttl }: NewEntry): Promise<boolean> {
    const { client } = this.#connection
    const bytes = toBuffer(value)
    const reply = await (ttl === undefined ? client.set(id, bytes, 'NX') : client.set(id, bytes, 'PX', ttl, 'NX'))
    return reply !== null
  }

  protected override async _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry): Promise<boolean> {
    const reply = await this.#run(COMPARE_AND_SET, id, toBuffer(expected), toBuffer(entry.value), entry.ttl ?? '')
    return Number(reply) === 1
  }

  protected override async _compareAndDelete(id: string, expected: Uint8Array): Promise<boolean> {
    return Number(await this.#run(COMPARE_AND_DELETE, id, toBuffer(expected))) === 1
  }

  protected override async _increment(id: string, by: number, { ttl }: Deadline): Promise<number> {
    const reply = await this.#run(INCREMENT, id, by, ttl ?? '')
    switch (String(reply)) {
      case NOT_A_COUNTER:
        throw notACounter()
      case COUNTER_OVERFLOW:
        throw counterOverflow()
      default:
        return Number(reply)
    }
  }

  protected override async _touch(id: string, { ttl }: Deadline): Promise<boolean> {
    const reply = ttl === undefined ? this.#run(PERSIST, id) : this.#connection.client.pexpire(id, ttl)
    return Number(await reply) === 1
  }

  protected override async _delete(id: string): Promise<boolean> {
    return Number(await this.#connection.client.unlink([id])) === 1
  }

  protected override async _deleteMany(ids: readonly string[], progress: Progress): Promise<void> {
    await this.inBatches(ids, BATCH, progress, async (batch, failed) => {
      const { client } = this.#connection
      if (client.isCluster) await this.#each(batch, failed, id => client.unlink([id]))
      else await client.unlink(batch)
    })
  }

  protected override async _clear(prefix: string, progress: Progress): Promise<void> {
    for (let layout = await this.#connection.layout(), pass = 1; ; pass++) {
      // A key that moves to a node which has been scanned already is met by a pass in the opposite direction.
      for (const node of pass % 2 === 1 ? layout.masters : layout.masters.toReversed()) {
        for await (const keys of scan(node, prefix, progress)) await this.#unlink(keys)
      }
      const after = await this.#connection.layout()
      if (after.slots === layout.slots && (pass > 1 || !after.moving)) return
      layout = after
    }
  }

  /** A key comes twice if Redis resizes its table, or moves the key's slot, while it is scanned. */
  protected override async *_keys(prefix: string, progress: Progress): AsyncGenerator<string> {
    const { masters } = await this.#connection.layout()
    for (const node of masters) {
      for await (const keys of scan(node, prefix, progress)) yield* keys.map(String)
    }
  }

  async #unlink(keys: Buffer[]): Promise<void> {
    const { client } = this.#connection
    if (client.isCluster) this.#connection.cork()
    await (client.isCluster ? Promise.all(keys.map(key => client.unlink([key]))) : client.unlink(keys))
  }

  async #run(script: Script, id: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    const client = this.#connection.client as ScriptingClient
    try {
      return await client.evalshaBuffer(script.sha, 1, id, ...args)
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return client.evalBuffer(script.lua, 1, id, ...args)
    }
  }

  /** Sends a command for each item, all at once; `undefined` for those that failed. */
  #each<T extends BatchItem, R>(
    items: readonly T[],
    failed: Failed,
    send: (item: T) => Promise<R>,
  ): Promise<(R | undefined)[]> {
    this.#connection.cork()
    return Promise.all(
      items.map(item =>
        send(item).catch((error: unknown) => {
          failed(typeof item === 'string' ? item : item[0], error)
          return undefined
        }),
      ),
    )
  }
}

function set(client: RedisClient, id: string, { value, ttl }: NewEntry): Promise<unknown> {
  return ttl === undefined ? client.set(id, toBuffer(value)) : client.set(id, toBuffer(value), 'PX', ttl)
}

/** The keys of one server that start with `prefix`, page by page: all that are there from beginning to end. */
async function* scan(node: NodeClient, prefix: string, progress: Progress): AsyncGenerator<Buffer[]> {
  const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`
  let socket: unknown
  let cursor = '0'
  do {
    const [next, keys] = await node.scanBuffer(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT)
    progress()
    socket ??= node.stream
    if (node.stream !== socket) {
      throw new CacheError({
        code: 'CACHE_UNAVAILABLE',
        message: 'The connection was replaced during a scan, whose cursor means nothing to another server.',
      })
    }
    if (keys.length > 0) yield keys
    cursor = String(next)
  } while (cursor !== '0')
}

/** ioredis takes other typed arrays for text. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
