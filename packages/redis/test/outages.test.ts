import { setTimeout as sleep } from 'node:timers/promises'
import { describeService, FaultProxy, type Server, startRedisSentinel, startServer } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { bytes, callAll, outageCases, range, settled, timeout, worksAgain } from '../../core/test/outages.ts'
import { RedisBackend, type RedisBackendOptions } from '../src/index.ts'

// Jest fails a case during which a rejection is unhandled or an exception is not caught.

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

async function ownServer(): Promise<Server> {
  const server = await startServer('redis')
  opened.push(server)
  return server
}

function open(options: RedisBackendOptions): RedisBackend {
  const backend = new RedisBackend({ timeout, ...options })
  opened.push(backend)
  return backend
}

/** A client that looks into the server beside the backend. */
function bare(url: string): Redis {
  const client = new Redis(url, { disconnectTimeout: 0 })
  client.on('error', () => {})
  opened.push({ close: async () => client.disconnect() })
  return client
}

describeService('redis', () => {
  outageCases({
    start: ownServer,
    open: ({ url }) => open({ url }),
    openPassed: ({ url }) => {
      const client = new Redis(url, { autoResendUnfulfilledCommands: false, disconnectTimeout: 0 })
      opened.push({ close: async () => client.disconnect() })
      return open({ client, timeout: 300 })
    },
    keeps: false, // it was started without persistence
  })

  test('calls under way when the server is killed settle, and none claims to be undone', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url })
    await backend.set('k', bytes('1'))
    await server.freeze()
    const calls = settled(range(50).map(key => backend.increment(key)))
    await sleep(100)
    await server.kill()
    const { values, errors } = await calls
    expect(values).toEqual([])
    expect(new Set(errors.map(error => `${error.code} ${error.outcome}`))).toEqual(
      new Set(['CACHE_UNAVAILABLE unknown']),
    )
    await server.restart()
    expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
  }, 30_000)

  describe('an increment is never applied twice', () => {
    test('when its answer is lost', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const backend = open({ url: `redis://${proxy.host}:${proxy.port}` })
      for (let index = 0; index < 10; index++) await backend.increment('counter')
      await proxy.inject({ dropAnswers: true })
      const { values, errors } = await settled(range(50).map(() => backend.increment('counter')))
      expect(values).toEqual([])
      expect(new Set(errors.map(error => error.outcome))).toEqual(new Set(['unknown']))
      await proxy.heal()
      await worksAgain(() => backend.get('counter'))
      // The server had done them all.
      expect(await bare(server.url).get('cachekit:counter')).toBe('60')
    }, 30_000)

    test('when connections are cut in the middle of answers', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const backend = open({ url: `redis://${proxy.host}:${proxy.port}` })
      const answered: number[] = []
      let unknown = 0
      for (let round = 0; round < 40; round++) {
        await worksAgain(() => backend.increment('warm'))
        await proxy.inject(round % 4 === 3 ? { reset: true } : { cutAfter: 1 + round * 3 })
        const { values, errors } = await settled(range(10).map(() => backend.increment('counter')))
        answered.push(...(values as number[]))
        unknown += errors.filter(error => error.outcome === 'unknown').length
        expect(errors.filter(error => error.code !== 'CACHE_UNAVAILABLE')).toEqual([])
        await proxy.heal()
      }
      const stored = Number(await bare(server.url).get('cachekit:counter'))
      expect(answered.length).toBeGreaterThan(0)
      expect(unknown).toBeGreaterThan(0)
      // Every sum was answered once, and nothing was counted that its caller took for undone.
      expect(new Set(answered).size).toBe(answered.length)
      expect(stored).toBeGreaterThanOrEqual(answered.length)
      expect(stored).toBeLessThanOrEqual(answered.length + unknown)
    }, 60_000)
  })

  test('when Sentinels choose another primary, the backend finds it', async () => {
    const group = await startRedisSentinel()
    opened.push(group)
    const { sentinel, primary, replica } = group
    const backend = open({
      clientOptions: { sentinels: [{ host: sentinel.host, port: sentinel.port }], name: group.group },
    })
    await backend.set('k', bytes('before'))
    await primary.kill()
    await settled(callAll(backend))
    await worksAgain(() => backend.set('k', bytes('after')), 20_000)
    expect(await bare(replica.url).get('cachekit:k')).toBe('after')
    expect(await backend.increment('new')).toBe(1)
  }, 60_000)
})
