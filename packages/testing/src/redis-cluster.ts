import { Redis } from 'ioredis'
import type { Server } from './service.ts'
import { startServers } from './start-server.ts'
import { until } from './until.ts'

const slotCount = 16_384

export interface RedisCluster extends AsyncDisposable {
  /** The masters, in the order of their slots. */
  readonly nodes: readonly Server[]
  /** Their replicas, in the same order. */
  readonly replicas: readonly Server[]
  /** Their URLs: one is enough to find the others. */
  readonly urls: readonly string[]
  close(): Promise<void>
}

export interface RedisClusterOptions {
  /** Default 3, the fewest that Redis itself calls a cluster. */
  readonly masters?: number
  /** How many replicas each master has, which take over when it is gone. Default 0. */
  readonly replicas?: number
  /** Extra arguments of every node. */
  readonly args?: readonly string[]
}

/** A real Redis Cluster, each node a process of its own, with the slots divided evenly between the masters. */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { masters = 3, replicas = 0, args = [] } = options
  const size = masters * (1 + replicas)
  const nodeArgs = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', ...args]
  const servers = await startServers(
    'redis',
    Array.from({ length: size }, () => nodeArgs),
  )

  async function close(): Promise<void> {
    await Promise.all(servers.map(server => server.close()))
  }

  const clients = servers.map(server => new Redis(server.port, server.host, { disconnectTimeout: 100 }))
  try {
    const [first] = servers as [Server]
    await Promise.all(
      clients.map(async (client, index) => {
        if (index < masters) {
          const bounds = [index, index + 1].map(part => Math.floor((part * slotCount) / masters))
          const [from, to] = bounds as [number, number]
          await client.cluster('ADDSLOTSRANGE', from, to - 1)
        }
        // Each with an epoch of its own from the start; otherwise they settle it by and by, and move slots meanwhile.
        await client.cluster('SET-CONFIG-EPOCH', index + 1)
        if (index > 0) await client.cluster('MEET', first.host, first.port)
      }),
    )
    // They learn of one another by gossip, which takes a second or two.
    await until('every node sees the whole cluster', async () => {
      const infos = await Promise.all(clients.map(client => client.cluster('INFO') as Promise<string>))
      const whole = ['cluster_state:ok', `cluster_known_nodes:${size}`, `cluster_size:${masters}`]
      return infos.every(info => whole.every(line => info.includes(line)))
    })
    const ids = await Promise.all(clients.map(client => client.cluster('MYID') as Promise<string>))
    await Promise.all(
      clients.slice(masters).map(async (client, index) => {
        await client.cluster('REPLICATE', ids[index % masters] as string)
        await until('a replica follows its master', async () =>
          (await client.info('replication')).includes('master_link_status:up'),
        )
      }),
    )
  } catch (error) {
    await close()
    throw error
  } finally {
    for (const client of clients) client.disconnect()
  }
  const nodes = servers.slice(0, masters)
  return {
    nodes,
    replicas: servers.slice(masters),
    urls: nodes.map(node => node.url),
    close,
    [Symbol.asyncDispose]: close,
  }
}
