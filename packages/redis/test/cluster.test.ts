import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import type { CacheError } from '@cachekit/core'
import { describeService, FaultProxy, type RedisCluster, type Server, startRedisCluster } from '@cachekit/testing'
import { Cluster, type ClusterOptions, Redis } from 'ioredis'
import { RedisBackend, type RedisBackendOptions } from '../src/index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value)
const range = (length: number): string[] => Array.from({ length }, (_, index) => `key-${index}`)

jest.setTimeout(60_000)

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

/** A client for one node, which looks into it beside the backend. */
function bare(node: Server): Redis {
  const client = new Redis(node.url, { disconnectTimeout: 0 })
  opened.push({ close: async () => client.disconnect() })
  return client
}

/** Calls until the call resolves, at most for `patience` milliseconds; every rejection must be one of an outage. */
async function worksAgain<T>(call: () => Promise<T>, patience: number): Promise<T> {
  const end = performance.now() + patience
  for (;;) {
    try {
      return await call()
    } catch (error) {
      expect(['CACHE_UNAVAILABLE', 'CACHE_TIMEOUT', 'CACHE_BATCH_FAILED']).toContain((error as CacheError).code)
      if (performance.now() > end) throw error
      await sleep(20)
    }
  }
}

describeService('redis', () => {
  describe('a Cluster of three masters', () => {
    let cluster: RedisCluster
    let nodes: Redis[]
    let backend: RedisBackend
    beforeAll(async () => {
      cluster = await startRedisCluster()
    })
    afterAll(() => cluster.close())
    beforeEach(async () => {
      nodes = cluster.nodes.map(bare)
      await Promise.all(nodes.map(node => node.flushall()))
      backend = open({ cluster: cluster.urls.slice(0, 1) })
    })

    function open(options: RedisBackendOptions): RedisBackend {
      const own = new RedisBackend(options)
      opened.push(own)
      return own
    }

    /** A proxy before each node, and what makes clients go through them. */
    async function behindProxies(): Promise<{ proxies: FaultProxy[]; clientOptions: ClusterOptions }> {
      const proxies = await Promise.all(cluster.nodes.map(node => FaultProxy.start(node)))
      opened.push(...proxies)
      const natMap = Object.fromEntries(
        cluster.nodes.map(({ host, port }, index) => [`${host}:${port}`, proxies[index] as FaultProxy]),
      )
      return { proxies, clientOptions: { natMap } }
    }

    async function sizes(): Promise<number[]> {
      return Promise.all(nodes.map(node => node.dbsize()))
    }

    /** Moves a slot with all its keys, as `redis-cli --cluster reshard` does. */
    async function move(slot: number, from: number, to: number): Promise<void> {
      const [source, target] = [nodes[from], nodes[to]] as [Redis, Redis]
      const [sourceId, targetId] = (await Promise.all([source, target].map(node => node.cluster('MYID')))) as string[]
      await target.cluster('SETSLOT', slot, 'IMPORTING', sourceId as string)
      await source.cluster('SETSLOT', slot, 'MIGRATING', targetId as string)
      const { host, port } = cluster.nodes[to] as Server
      for (;;) {
        const keys = (await source.cluster('GETKEYSINSLOT', slot, 100)) as string[]
        if (keys.length === 0) break
        await source.migrate(host, port, '', 0, 5000, 'KEYS', ...keys)
      }
      for (const node of [target, source, ...nodes]) await node.cluster('SETSLOT', slot, 'NODE', targetId as string)
    }

    /** A hash tag whose slot this node has, and the slot. */
    async function tagOn(node: number, name = 'tag'): Promise<{ tag: string; slot: number }> {
      for (let count = 0; ; count++) {
        const slot = Number(await (nodes[0] as Redis).cluster('KEYSLOT', `${name}-${count}`))
        if (Math.floor((node * 16_384) / 3) <= slot && slot < Math.floor(((node + 1) * 16_384) / 3)) {
          return { tag: `{${name}-${count}}`, slot }
        }
      }
    }

    test('spreads entries over all nodes, and reads, lists and deletes them there', async () => {
      const keys = range(300)
      await backend.setMany(keys.map(key => [key, bytes(key)]))
      expect(Math.min(...(await sizes()))).toBeGreaterThan(50)
      expect((await backend.getMany([...keys, 'none'])).map(text)).toEqual([...keys, undefined])
      const listed: string[] = []
      for await (const key of backend.keys()) listed.push(key)
      expect(listed.sort()).toEqual(keys.sort())
      await backend.deleteMany(keys.slice(10))
      expect((await sizes()).reduce((sum, size) => sum + size)).toBe(10)
    })

    test('a batch reaches each node in one write', async () => {
      const keys = range(100)
      const reads = async (): Promise<number[]> =>
        Promise.all(nodes.map(async node => Number(/total_reads_processed:(\d+)/.exec(await node.info('stats'))?.[1])))
      await backend.getMany(keys) // every node is connected
      for (const batch of [
        () => backend.getMany(keys),
        () => backend.setMany(keys.map(key => [key, bytes(key)])),
        () => backend.deleteMany(keys),
      ]) {
        const before = await reads()
        await batch()
        const after = await reads()
        // One of these is the question itself.
        expect(after.map((count, index) => count - (before[index] as number))).toEqual([2, 2, 2])
      }
    })

    test('clear removes its own on every node and nothing else', async () => {
      const clients = new Cluster([...cluster.urls])
      opened.push({ close: async () => clients.disconnect() })
      const foreign = range(2000).map(key => `cachekitX:${key}`)
      await Promise.all(foreign.map(key => clients.set(key, '1')))
      await backend.setMany(range(2500).map(key => [key, bytes('1')]))
      await backend.namespace('users').set('k', bytes('1'))
      await backend.clear()
      expect((await sizes()).reduce((sum, size) => sum + size)).toBe(2000)
    })

    test('clear meets keys that move meanwhile to a node where it has been already', async () => {
      const order = [0, 1, 2].sort((a, b) => ((cluster.urls[a] ?? '') < (cluster.urls[b] ?? '') ? -1 : 1))
      const [first, , last] = order as [number, number, number]
      const { tag, slot } = await tagOn(last)
      const { tag: others } = await tagOn(last, 'others')
      await backend.setMany(range(500).map(key => [`${tag}${key}`, bytes('1')]))
      // So many others that the last node is not done before the keys have left.
      const populate = "for i = 1, 10000 do redis.call('SET', KEYS[1] .. i, '1') end"
      for (let part = 0; part < 40; part++) await nodes[last]?.eval(populate, 1, `foreign:${others}${part}:`)
      await nodes[last]?.config('RESETSTAT')
      const cleared = backend.clear()
      const begun = async (): Promise<boolean> =>
        String(await nodes[last]?.info('commandstats')).includes('cmdstat_scan')
      while (!(await begun())) await sleep(1)
      await move(slot, last, first)
      try {
        const moved = await nodes[first]?.keys('cachekit:*')
        await cleared
        expect(moved?.length).toBeGreaterThan(0)
        expect(await keysLeft()).toEqual([])
      } finally {
        await nodes[first]?.flushall()
        await move(slot, first, last)
      }
    })

    test('clear ends while a slot stays between two nodes, and removes its keys from both', async () => {
      const { tag, slot } = await tagOn(0)
      const [source, target] = nodes as [Redis, Redis]
      await backend.setMany(range(100).map(key => [`${tag}${key}`, bytes('1')]))
      await target.cluster('SETSLOT', slot, 'IMPORTING', String(await source.cluster('MYID')))
      await source.cluster('SETSLOT', slot, 'MIGRATING', String(await target.cluster('MYID')))
      const half = (await source.cluster('GETKEYSINSLOT', slot, 50)) as string[]
      const { host, port } = cluster.nodes[1] as Server
      await source.migrate(host, port, '', 0, 5000, 'KEYS', ...half)
      expect(await sizes()).toEqual([50, 50, 0])
      // Both halves are readable, too, and a batch is whole.
      expect((await backend.getMany(range(100).map(key => `${tag}${key}`))).map(text)).toEqual(
        range(100).map(() => '1'),
      )
      await backend.clear()
      expect(await sizes()).toEqual([0, 0, 0])
      for (const node of [source, target]) await node.cluster('SETSLOT', slot, 'STABLE')
    })

    test('an increment whose answer is lost with the connection is not sent again', async () => {
      const { proxies, clientOptions } = await behindProxies()
      const distant = open({ cluster: cluster.urls, clientOptions })
      const { tag } = await tagOn(0)
      const keys = range(50).map(key => `${tag}${key}`)
      await Promise.all(keys.map(key => distant.increment(key)))
      const [proxy] = proxies as [FaultProxy]
      await proxy.inject({ dropAnswers: true })
      const calls = Promise.allSettled(keys.map(key => distant.increment(key)))
      await sleep(100) // the node has done them
      await proxy.inject({ reset: true })
      await proxy.heal()
      for (const result of await calls) {
        expect(result).toMatchObject({ reason: { code: 'CACHE_UNAVAILABLE', outcome: 'unknown' } })
      }
      await sleep(300)
      const stored = await worksAgain(() => distant.getMany(keys), 2000)
      expect(stored.map(text)).toEqual(keys.map(() => '2'))
    })

    test('while one node is frozen the others serve, and afterwards it does again', async () => {
      const hasty = open({ cluster: cluster.urls, timeout: 500 })
      const tags = await Promise.all([0, 1, 2].map(node => tagOn(node)))
      const [one, two, three] = tags.map(({ tag }) => tag) as [string, string, string]
      const all = [one, two, three]
      await hasty.setMany(all.map(key => [key, bytes(key)]))
      await cluster.nodes[0]?.freeze()
      try {
        for (let round = 0; round < 3; round++) {
          const start = performance.now()
          const [frozen, ...others] = await Promise.allSettled(all.map(key => hasty.get(key)))
          expect(performance.now() - start).toBeLessThan(700)
          expect(frozen?.status).toBe('rejected')
          expect(others.map(each => each.status)).toEqual(['fulfilled', 'fulfilled'])
        }
      } finally {
        await cluster.nodes[0]?.resume()
      }
      expect(text(await worksAgain(() => hasty.get(one), 2000))).toBe(one)
      await untilWhole()
    })

    test('the connection to a node that does not answer is replaced, the others stay', async () => {
      const { tag } = await tagOn(0)
      const { tag: elsewhere } = await tagOn(1)
      const { proxies, clientOptions } = await behindProxies()
      const hasty = open({ cluster: cluster.urls, clientOptions, timeout: 500 })
      await hasty.setMany([
        [tag, bytes('1')],
        [elsewhere, bytes('2')],
      ])
      const [silent] = proxies as [FaultProxy]
      const before = silent.traffic.connections
      await silent.inject({ blackhole: true })
      const answers: Promise<unknown>[] = []
      for (const end = performance.now() + 1500; performance.now() < end; await sleep(50)) {
        hasty.get(tag).catch(() => {})
        answers.push(hasty.get(elsewhere).then(text))
      }
      expect(new Set(await Promise.all(answers))).toEqual(new Set(['2']))
      expect(silent.traffic.connections).toBeGreaterThan(before)
      await silent.heal()
      expect(text(await worksAgain(() => hasty.get(tag), 2000))).toBe('1')
    })

    test('a password in the first URL opens every node, and none is printed', async () => {
      await Promise.all(nodes.map(node => node.config('SET', 'requirepass', 'the-right-one')))
      try {
        const [url = '', ...others] = cluster.urls
        const insider = open({ cluster: [url.replace('//', '//:the-right-one@'), ...others] })
        await insider.setMany(range(30).map(key => [key, bytes(key)]))
        expect(Math.min(...(await sizes()))).toBeGreaterThan(0)
        const intruder = open({ cluster: [url.replace('//', '//:the-wrong-one@')] })
        const error = await intruder.set('k', bytes('the-secret-value')).catch(reason => reason)
        expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false, outcome: 'not-applied' })
        expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/the-wrong-one|the-secret-value/)
      } finally {
        await Promise.all(nodes.map(node => node.config('SET', 'requirepass', '')))
      }
    })

    test('a node of it given as url says what to do instead', async () => {
      const misled = open({ url: cluster.urls[0] })
      const errors = await Promise.allSettled(range(20).map(key => misled.get(key)))
      const rejected = errors.flatMap(each => (each.status === 'rejected' ? [each.reason] : []))
      expect(rejected.length).toBeGreaterThan(0)
      for (const error of rejected) expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false })
      expect(rejected[0].message).toContain('`cluster` instead of `url`')
    })

    test('closing leaves no connection behind', async () => {
      const connections = async (): Promise<number[]> =>
        Promise.all(
          nodes.map(
            async node =>
              String(await node.call('CLIENT', 'LIST', 'TYPE', 'normal'))
                .trim()
                .split('\n').length,
          ),
        )
      const before = await connections()
      const many = Array.from({ length: 3 }, () => new RedisBackend({ cluster: cluster.urls }))
      await Promise.all(many.map(each => each.getMany(range(100))))
      expect(await connections()).toEqual(before.map(count => count + 3))
      await Promise.all(many.map(each => each.close()))
      expect(await connections()).toEqual(before)
    })

    describe('a client that is passed in', () => {
      function client(options: object): Cluster {
        const own = new Cluster([...cluster.urls], { retryDelayOnFailover: 0, ...options })
        opened.push({ close: async () => own.disconnect() })
        return own
      }

      test('is used, and neither closed nor changed', async () => {
        const own = client({})
        const before = own.listenerCount('error')
        const guest = new RedisBackend({ client: own })
        await guest.setMany(range(30).map(key => [key, bytes(key)]))
        expect(await guest.increment('counter')).toBe(1)
        await guest.clear()
        await guest.close()
        expect(await sizes()).toEqual([0, 0, 0])
        expect(own.listenerCount('error')).toBe(before)
        expect(own.status).toBe('ready')
      })

      test.each<[string, object]>([
        ['has a keyPrefix', { keyPrefix: 'p:' }],
        ['has a keyPrefix for its nodes', { redisOptions: { keyPrefix: 'p:' } }],
        ['reads from replicas', { scaleReads: 'slave' }],
        ['sends commands again, as ioredis does by default,', { retryDelayOnFailover: 100 }],
        ['sends commands again when it connects to a node again', { clusterNodeRetryStrategy: () => 100 }],
      ])('is refused when it %s', (_what, options) => {
        const own = client({ lazyConnect: true, ...options })
        expect(() => new RedisBackend({ client: own })).toThrow(
          expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }),
        )
      })
    })

    async function keysLeft(): Promise<string[]> {
      return (await Promise.all(nodes.map(node => node.keys('cachekit:*')))).flat()
    }

    /** A node that was frozen is taken for dead by the others for a while. */
    async function untilWhole(): Promise<void> {
      for (;;) {
        const infos = await Promise.all(nodes.map(node => node.cluster('INFO')))
        if (infos.every(info => String(info).includes('cluster_state:ok'))) return
        await sleep(50)
      }
    }
  })

  test('when a replica takes over from a master that is gone, the backend finds it', async () => {
    const cluster = await startRedisCluster({ replicas: 1 })
    opened.push(cluster)
    const backend = new RedisBackend({ cluster: cluster.urls })
    opened.push(backend)
    const keys = range(100)
    await backend.setMany(keys.map(key => [key, bytes('before')]))
    await cluster.nodes[0]?.kill()
    const successor = bare(cluster.replicas[0] as Server)
    while (!String(await successor.role()).startsWith('master')) await sleep(20)
    await worksAgain(() => backend.setMany(keys.map(key => [key, bytes('after')])), 4000)
    expect((await backend.getMany(keys)).map(text)).toEqual(keys.map(() => 'after'))
    await backend.clear()
    expect(await successor.dbsize()).toBe(0)
    expect((await backend.getMany(keys)).every(value => value === undefined)).toBe(true)
  })
})
