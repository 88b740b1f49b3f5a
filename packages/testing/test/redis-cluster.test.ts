import { Cluster, Redis } from 'ioredis'
import { describeService, startRedisCluster, startRedisSentinel } from '../src/index.ts'

jest.setTimeout(60_000) // servers and runs start here, maybe while the machine is busy

describeService('redis', () => {
  test('a cluster divides the slots between its masters', async () => {
    await using cluster = await startRedisCluster()
    const client = new Cluster([...cluster.urls])
    const keys = Array.from({ length: 60 }, (_, index) => `key:${index}`)
    await Promise.all(keys.map(key => client.set(key, key)))
    const sizes = await Promise.all(client.nodes('master').map(node => node.dbsize()))
    expect(sizes).toHaveLength(3)
    expect(Math.min(...sizes)).toBeGreaterThan(0)
    expect(sizes.reduce((sum, size) => sum + size)).toBe(60)
    client.disconnect()
  })

  test('in a cluster with replicas one takes over from a master that is killed', async () => {
    await using cluster = await startRedisCluster({ replicas: 1 })
    const client = new Cluster([...cluster.urls], { retryDelayOnFailover: 200, maxRedirections: 200 })
    await client.set('key', 'value')
    const slot = Number(await client.cluster('KEYSLOT', 'key'))
    const killed = cluster.nodes.findIndex(({ host, port }) => client.slots[slot]?.[0] === `${host}:${port}`)
    await cluster.nodes[killed]?.kill()
    await client.set('key', 'after')
    const successor = new Redis(cluster.replicas[killed]?.url ?? '')
    expect(await successor.get('key')).toBe('after')
    successor.disconnect()
    client.disconnect()
  })

  test('a Sentinel makes the replica the primary when the primary is killed', async () => {
    await using group = await startRedisSentinel()
    const client = new Redis({
      sentinels: [group.sentinel],
      name: group.group,
      retryStrategy: () => 50,
      maxRetriesPerRequest: null,
    }).on('error', () => {})
    await client.set('key', 'value')
    expect(await client.wait(1, 1000)).toBe(1)
    expect(client.stream.remotePort).toBe(group.primary.port)
    await group.primary.kill()
    expect(await client.get('key')).toBe('value')
    expect(client.stream.remotePort).toBe(group.replica.port)
    client.disconnect()
  })
})
