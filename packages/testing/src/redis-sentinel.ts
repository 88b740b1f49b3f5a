import { Redis } from 'ioredis'
import type { Server } from './service.ts'
import { startServers } from './start-server.ts'
import { until } from './until.ts'

export interface RedisSentinel extends AsyncDisposable {
  /** What clients ask for the primary. */
  readonly sentinel: Server
  /** The name under which the Sentinel knows the group, as clients must give it. */
  readonly group: string
  /** The primary at the start, and its replica: after a failover they have changed places. */
  readonly primary: Server
  readonly replica: Server
  close(): Promise<void>
}

/** A primary with one replica, watched by one Sentinel that fails over when the primary is silent for half a second. */
export async function startRedisSentinel(): Promise<RedisSentinel> {
  const group = 'cachekit'
  const data = ['--repl-diskless-sync-delay', '0'] // otherwise a primary waits 5 s for more replicas
  const servers = await startServers('redis', [data, data, ['--sentinel']])
  const [primary, replica, sentinel] = servers as [Server, Server, Server]

  async function close(): Promise<void> {
    await Promise.all(servers.map(server => server.close()))
  }

  const clients = servers.map(server => new Redis(server.port, server.host, { disconnectTimeout: 100 }))
  const [, ofReplica, ofSentinel] = clients as [Redis, Redis, Redis]
  try {
    await ofReplica.replicaof(primary.host, primary.port)
    await until('the replica follows the primary', async () =>
      (await ofReplica.info('replication')).includes('master_link_status:up'),
    )
    await ofSentinel.call('SENTINEL', 'MONITOR', group, primary.host, primary.port, 1)
    await ofSentinel.call('SENTINEL', 'SET', group, 'down-after-milliseconds', 500, 'failover-timeout', 2000)
    await until('the Sentinel knows the replica', async () => (await ofSentinel.info('sentinel')).includes('slaves=1'))
  } catch (error) {
    await close()
    throw error
  } finally {
    for (const client of clients) client.disconnect()
  }
  return { sentinel, group, primary, replica, close, [Symbol.asyncDispose]: close }
}
