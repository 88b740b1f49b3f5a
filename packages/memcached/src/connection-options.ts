import { describeArgument, invalidArgument } from '@cachekit/core'
import Memcached from 'memcached'

/** What CacheKit knows a client of the package `memcached` by. */
export interface MemcachedClient {
  touch(key: string, lifetime: number, callback: (error: unknown) => void): void
  end(): void
}

/** What the driver's clients have at run time, and what decides where keys go. Its types leave most of it out. */
interface Driver extends MemcachedClient {
  readonly servers: readonly string[]
  readonly namespace?: unknown
  readonly remove?: unknown
  readonly failOverServers?: unknown
  /** Calls back, before it returns, for each server that some of the keys are on. */
  multi(keys: readonly string[], callback: (server: string) => void): void
}

/** Where the servers are, and which of them has which keys. */
export interface ConnectionOptions {
  /**
   * `host:port`, or the path of a Unix socket; several to spread the keys over. All processes must name the same ones in
   * the same form. Default: `127.0.0.1:11211`.
   */
  readonly servers?: string | readonly string[] | undefined
  /** Further options for the constructor of the driver: `algorithm` and `compatibility` decide which server has a key. */
  readonly clientOptions?: object | undefined
  /**
   * A client of yours instead: its servers, weights and ring are used, and its own connections are left alone. One with a
   * `namespace`, or that takes dead servers out of its ring (`remove`, `failOverServers`), is refused.
   */
  readonly client?: MemcachedClient | undefined
}

/** The servers, and the server that a name is on. */
export interface Ring {
  readonly servers: readonly string[]
  serverOf(name: string): string
}

const ADDRESS = /^(?:\/.+|(?:\[[\da-f:.]+\]|[^\s:/@[\]]+)(?::\d{1,5})?)$/i

/**
 * The servers as the driver would use them: its consistent hashing is what other programs find the same keys by.
 *
 * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. Does no I/O.
 */
export function createRing(options: ConnectionOptions): Ring {
  const driver = options.client === undefined ? createDriver(options) : passedDriver(options)
  if (driver.namespace) {
    throw invalidArgument(
      'A client with a namespace of its own does not fit: use the option namespace of the backend instead.',
    )
  }
  if (driver.remove || driver.failOverServers) {
    throw invalidArgument(
      'A client that takes dead servers out of its ring (remove, failOverServers) would answer what was overwritten or ' +
        'deleted when they return.',
    )
  }
  const [first = ''] = driver.servers
  const serverOf = (name: string): string => {
    let server = first
    driver.multi([name], found => {
      server = found
    })
    return server
  }
  return { servers: driver.servers, serverOf: driver.servers.length === 1 ? () => first : serverOf }
}

function createDriver({ servers = '127.0.0.1:11211', clientOptions = {} }: ConnectionOptions): Driver {
  const addresses = typeof servers === 'string' ? [servers] : servers
  if (!Array.isArray(addresses) || addresses.length === 0) {
    throw invalidArgument(`servers must be "host:port" or an array of such, not ${describeArgument(servers)}.`)
  }
  for (const address of addresses) {
    if (typeof address !== 'string' || !ADDRESS.test(address)) {
      // Behind an '@', before it may be a password.
      const what = String(address).includes('@') ? 'one with an "@"' : describeArgument(address)
      throw invalidArgument(`A server must be "host:port" or the path of a Unix socket, not ${what}.`)
    }
  }
  if (typeof clientOptions !== 'object' || clientOptions === null)
    throw invalidArgument('clientOptions must be an object.')
  try {
    return new Memcached([...new Set(addresses)], clientOptions) as unknown as Driver
  } catch (error) {
    throw invalidArgument(`The driver refuses these options: ${(error as Error).message}`)
  }
}

function passedDriver({ client, servers, clientOptions }: ConnectionOptions): Driver {
  if (servers !== undefined || clientOptions !== undefined) {
    throw invalidArgument('Pass client alone, without servers and clientOptions: it is already configured.')
  }
  const driver = client as Partial<Driver> | null
  if (typeof driver !== 'object' || typeof driver?.multi !== 'function' || !Array.isArray(driver.servers)) {
    throw invalidArgument('client must be a client of the package memcached, version 2.')
  }
  return driver as Driver
}
