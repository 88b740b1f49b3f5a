import { setTimeout as sleep } from 'node:timers/promises'
import { describeService, FaultProxy, type Server, startRedisSentinel, startServer } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { bytes, callAll, range, settled, text, timeout, worksAgain, writes } from '../../core/test/outages.ts'
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
  test('a server that starts after the backend is used as soon as it is there', async () => {
    const server = await ownServer()
    await server.stop()
    const backend = open({ url: server.url })
    for (let round = 0; round < 3; round++) {
      const { values, errors } = await settled(callAll(backend))
      expect(values).toEqual([])
      expect(new Set(errors.map(error => error.code))).toEqual(new Set(['CACHE_UNAVAILABLE']))
      for (const error of errors.filter(each => writes.includes(each.operation ?? ''))) {
        expect([error.operation, error.outcome]).toEqual([error.operation, 'not-applied'])
      }
    }
    await server.restart()
    expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
  }, 30_000)

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

  test('a server killed under load leaves no call behind', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url })
    await backend.setMany(range(50).map(key => [key, bytes(key)]))
    let over = false
    const workers = range(50).map(async key => {
      let count = 0
      for (; !over; count++) {
        const { values } = await settled([backend.get(key)])
        // Redis comes back empty: it was started without persistence.
        for (const value of values) expect([key, undefined]).toContain(text(value as Uint8Array | undefined))
        await sleep(5)
      }
      return count
    })
    await sleep(100)
    await server.kill()
    await sleep(200)
    await server.restart()
    await sleep(200)
    over = true
    expect(Math.min(...(await Promise.all(workers)))).toBeGreaterThan(2)
    expect(await worksAgain(() => backend.get('key-0'))).toBeUndefined()
  }, 30_000)

  test('a frozen server costs every call its timeout, and no answer reaches another call after it', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url })
    const keys = range(50)
    await backend.setMany(keys.map(key => [key, bytes(key)]))
    await server.freeze()
    for (let round = 0; round < 2; round++) {
      const { values, errors } = await settled([...callAll(backend), ...keys.map(key => backend.get(key))])
      expect(values).toEqual([])
      for (const error of errors) expect(['CACHE_TIMEOUT', 'CACHE_UNAVAILABLE']).toContain(error.code)
    }
    // Under way while the server thaws: these may be answered or not, but only by what is theirs.
    const thawing = keys.map(key => backend.get(key).then(text, () => key))
    await server.resume()
    expect(await Promise.all(thawing)).toEqual(keys)
    expect(text(await worksAgain(() => backend.get('key-7')))).toBe('key-7')
    expect(await Promise.all(keys.map(async key => text(await backend.get(key))))).toEqual(keys)
    expect((await backend.getMany(keys)).map(text)).toEqual(keys)
  }, 30_000)

  test('late answers reach nobody on a client that was passed in, either', async () => {
    const server = await ownServer()
    const client = new Redis(server.url, { autoResendUnfulfilledCommands: false, disconnectTimeout: 0 })
    opened.push({ close: async () => client.disconnect() })
    const backend = open({ client, timeout: 300 })
    const keys = range(20)
    await backend.setMany(keys.map(key => [key, bytes(key)]))
    await server.freeze()
    const { errors } = await settled(keys.map(key => backend.get(key)))
    expect(new Set(errors.map(error => error.code))).toEqual(new Set(['CACHE_TIMEOUT']))
    await server.resume()
    const answers = await Promise.all(keys.toReversed().map(key => worksAgain(() => backend.get(key))))
    expect(answers.map(text)).toEqual(keys.toReversed())
  }, 30_000)

  test('after a restart everything works again, scripts too', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url })
    await Promise.all(callAll(backend))
    await server.restart()
    await worksAgain(() => backend.get('k'))
    const { errors } = await settled(callAll(backend))
    expect(errors).toEqual([])
    expect(await backend.increment('counter')).toBe(2)
    await backend.set('k', bytes('1'))
    expect(await backend.compareAndSet('k', bytes('1'), bytes('2'))).toBe(true)
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
