import { Redis } from 'ioredis'
import type { Server } from './service.ts'
import { startServers } from './start-server.ts'
import { until } from './until.ts'

const slotCount = 16_384

export interface RedisCluster extends AsyncDisposable {
  /** The masters, in the order of their slots. */
  readonly nodes: readonly Server[]
  /** Their URLs: one is enough to find the others. */
  readonly urls: readonly string[]
  close(): Promise<void>
}

export interface RedisClusterOptions {
  /** Default 3, the fewest that Redis itself calls a cluster. */
  readonly masters?: number
  /** Extra arguments of every node. */
  readonly args?: readonly string[]
}

/** A real Redis Cluster of masters without replicas, each a process of its own, with the slots divided evenly. */
export async function startRedisCluster({ masters = 3, args = [] }: RedisClusterOptions = {}): Promise<RedisCluster> {
  const nodeArgs = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', ...args]
  const nodes = await startServers(
    'redis',
    Array.from({ length: masters }, () => nodeArgs),
  )

  async function close(): Promise<void> {
    await Promise.all(nodes.map(node => node.close()))
  }

  const clients = nodes.map(node => new Redis(node.port, node.host, { disconnectTimeout: 100 }))
  try {
    const [first] = nodes as [Server]
    await Promise.all(
      clients.map(async (client, index) => {
        const [from, to] = [index, index + 1].map(part => Math.floor((part * slotCount) / masters)) as [number, number]
        await client.cluster('ADDSLOTSRANGE', from, to - 1)
        // Each with an epoch of its own from the start; otherwise they settle it by and by, and move slots meanwhile.
        await client.cluster('SET-CONFIG-EPOCH', index + 1)
        if (index > 0) await client.cluster('MEET', first.host, first.port)
      }),
    )
    // They learn of one another by gossip, which takes a second or two.
    await until('every node sees the whole cluster', async () => {
      const infos = await Promise.all(clients.map(client => client.cluster('INFO') as Promise<string>))
      return infos.every(info => info.includes('cluster_state:ok') && info.includes(`cluster_size:${masters}`))
    })
  } catch (error) {
    await close()
    throw error
  } finally {
    for (const client of clients) client.disconnect()
  }
  return { nodes, urls: nodes.map(node => node.url), close, [Symbol.asyncDispose]: close }
}
