import type { Redis, RedisOptions } from 'ioredis'

/** What CacheKit uses of an ioredis `Redis` or `Cluster`, of version 5 or 6. */
export interface RedisClient {
  readonly status: string
  readonly options: object
  readonly isCluster: boolean
  getBuffer(key: string): Promise<Buffer | null>
  mgetBuffer(keys: string[]): Promise<(Buffer | null)[]>
  set(key: string, value: Buffer): Promise<unknown>
  set(key: string, value: Buffer, nx: 'NX'): Promise<unknown>
  set(key: string, value: Buffer, px: 'PX', milliseconds: number): Promise<unknown>
  set(key: string, value: Buffer, px: 'PX', milliseconds: number, nx: 'NX'): Promise<unknown>
  exists(key: string): Promise<number>
  pexpire(key: string, milliseconds: number): Promise<number>
  unlink(keys: (string | Buffer)[]): Promise<number>
  scanBuffer(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    size: number,
  ): Promise<[cursor: Buffer, keys: Buffer[]]>
  cluster(subcommand: 'NODES'): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
}

/** What every ioredis client has at run time and its types leave out. */
export interface ScriptingClient extends RedisClient {
  evalshaBuffer(sha: string, keyCount: number, ...keysAndArguments: (string | number | Buffer)[]): Promise<unknown>
  evalBuffer(lua: string, keyCount: number, ...keysAndArguments: (string | number | Buffer)[]): Promise<unknown>
}

/** One server's client: it has one socket at a time. */
export interface NodeClient extends RedisClient {
  /** The commands that wait for their answers. */
  readonly commandQueue?: { readonly length: number }
  readonly stream?: { cork(): void; uncork(): void } | null
}

/** What a client for a Cluster has beyond the commands. */
export interface ClusterClient extends RedisClient {
  nodes(role: 'master'): NodeClient[]
  /** Asks the Cluster which node serves which slots, and makes clients for those it does not know yet. */
  refreshSlotsCache(callback: (error?: Error | null) => void): void
}

/** What a bus needs beyond that. */
export interface PubSubClient extends NodeClient {
  publish(channel: string, message: Buffer): Promise<unknown>
  /** A client like this one with a connection of its own. */
  duplicate(options: RedisOptions): Redis
}
