import * as os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeService, FaultProxy, type Server, startServer } from '@cachekit/testing'
import { type Db, MongoClient } from 'mongodb'
import { bytes, callAll, limit, range, settled, text, timeout, worksAgain, writes } from '../../core/test/outages.ts'
import { MongoDBBackend, type MongoDBBackendOptions } from '../src/index.ts'
import { primary } from './fixtures/primary.ts'

// Jest fails a case during which a rejection is unhandled or an exception is not caught.

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
}, 30_000)

async function ownServer(): Promise<Server> {
  const server = await startServer('mongodb')
  opened.push(server)
  return server
}

function open(options: MongoDBBackendOptions): MongoDBBackend {
  const backend = new MongoDBBackend({ timeout, ...options })
  opened.push(backend)
  return backend
}

/** The server's databases, beside the backend. */
function bare(url: string, name: string): Db {
  const client = new MongoClient(url, { runtimeAdapters: { os } })
  opened.push(client)
  return client.db(name)
}

describeService('mongodb', () => {
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
    await primary(server.url)
    expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
  }, 60_000)

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
    for (const { code, outcome } of errors) {
      expect(['CACHE_UNAVAILABLE', 'CACHE_TIMEOUT']).toContain(code)
      expect(outcome).toBe('unknown')
    }
    await server.restart()
    await primary(server.url)
    expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
    expect(text(await backend.get('k'))).toBe('1')
  }, 60_000)

  test('a server killed under load leaves no call behind, and keeps what it acknowledged', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url })
    await backend.setMany(range(50).map(key => [key, bytes(key)]))
    let over = false
    const workers = range(50).map(async key => {
      let count = 0
      for (; !over; count++) {
        const { values } = await settled([backend.get(key)])
        for (const value of values) expect(text(value as Uint8Array | undefined)).toBe(key)
        await sleep(5)
      }
      return count
    })
    await sleep(100)
    await server.kill()
    await sleep(200)
    await server.restart()
    await primary(server.url)
    await sleep(200)
    over = true
    expect(Math.min(...(await Promise.all(workers)))).toBeGreaterThan(2)
    expect(text(await worksAgain(() => backend.get('key-0')))).toBe('key-0')
  }, 60_000)

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
  }, 60_000)

  test('a frozen server takes no connection away for good', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url, timeout: 300, clientOptions: { maxPoolSize: 3 } })
    await backend.set('k', bytes('1'))
    await server.freeze()
    for (let round = 0; round < 5; round++) {
      await Promise.allSettled(range(10).map(key => backend.get(key)))
    }
    await server.resume()
    expect(text(await worksAgain(() => backend.get('k')))).toBe('1')
  }, 60_000)

  test('close() ends in time while the server is frozen', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url })
    await backend.set('k', bytes('1'))
    await server.freeze()
    const call = backend.get('k').catch(() => {})
    const start = performance.now()
    await backend.close()
    expect(performance.now() - start).toBeLessThan(2 * limit)
    await call
    await server.resume()
  }, 60_000)

  test('late answers reach nobody on a client that was passed in, either', async () => {
    const server = await ownServer()
    const client = new MongoClient(server.url, { runtimeAdapters: { os } })
    opened.push(client)
    const backend = open({ client, timeout: 300 })
    const keys = range(20)
    await backend.setMany(keys.map(key => [key, bytes(key)]))
    await server.freeze()
    const { errors } = await settled(keys.map(key => backend.get(key)))
    expect(new Set(errors.map(error => error.code))).toEqual(new Set(['CACHE_TIMEOUT']))
    await server.resume()
    const answers = await Promise.all(keys.toReversed().map(key => worksAgain(() => backend.get(key))))
    expect(answers.map(text)).toEqual(keys.toReversed())
  }, 60_000)

  test('after a restart everything works again', async () => {
    const server = await ownServer()
    const backend = open({ url: server.url })
    await Promise.all(callAll(backend))
    await server.restart()
    await primary(server.url)
    await worksAgain(() => backend.get('k'))
    const { errors } = await settled(callAll(backend))
    expect(errors).toEqual([])
    expect(await backend.increment('counter')).toBe(3)
  }, 60_000)

  describe('an increment is never applied twice', () => {
    test('when its answer is lost and the driver sends it again', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const url = server.url.replace(`${server.host}:${server.port}`, `${proxy.host}:${proxy.port}`)
      const backend = open({ url, clientOptions: { socketTimeoutMS: 300 } })
      for (let index = 0; index < 10; index++) await backend.increment('counter')
      await proxy.inject({ dropAnswers: true })
      const calls = settled(range(50).map(() => backend.increment('counter')))
      await sleep(600) // Long enough for a second attempt.
      await proxy.heal()
      const { values, errors } = await calls
      expect(new Set(errors.map(error => error.outcome))).toEqual(errors.length > 0 ? new Set(['unknown']) : new Set())
      expect(new Set(values).size).toBe(values.length)
      await worksAgain(() => backend.get('counter'))
      await sleep(2 * timeout)
      // The server had done them all, once.
      const stored = await bare(server.url, 'cachekit')
        .collection<{ _id: string }>('cachekit')
        .findOne({ _id: 'cachekit:counter' })
      expect(stored).toMatchObject({ value: 60 })
    }, 60_000)

    test('when connections are cut in the middle of answers', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const url = server.url.replace(`${server.host}:${server.port}`, `${proxy.host}:${proxy.port}`)
      const backend = open({ url })
      const answered: number[] = []
      let unknown = 0
      for (let round = 0; round < 20; round++) {
        await worksAgain(() => backend.increment('warm'))
        await proxy.inject(round % 4 === 3 ? { reset: true } : { cutAfter: 1 + round * 20 })
        const { values, errors } = await settled(range(10).map(() => backend.increment('counter')))
        answered.push(...(values as number[]))
        unknown += errors.filter(error => error.outcome === 'unknown').length
        for (const error of errors) expect(['CACHE_TIMEOUT', 'CACHE_UNAVAILABLE']).toContain(error.code)
        await proxy.heal()
      }
      await sleep(2 * timeout)
      const stored = await bare(server.url, 'cachekit')
        .collection<{ _id: string; value?: number }>('cachekit')
        .findOne({ _id: 'cachekit:counter' })
      const counted = stored?.value ?? 0
      expect(unknown).toBeGreaterThan(0)
      // Every sum was answered once, and nothing was counted that its caller took for undone.
      expect(new Set(answered).size).toBe(answered.length)
      expect(counted).toBeGreaterThanOrEqual(answered.length)
      expect(counted).toBeLessThanOrEqual(answered.length + unknown)
    }, 120_000)

    test('while the primary steps down and is elected again', async () => {
      const server = await ownServer()
      const backend = open({ url: server.url })
      await backend.set('kept', bytes('1'))
      const admin = bare(server.url, 'admin')
      const answered: number[] = []
      let unknown = 0
      let over = false
      const workers = range(8).map(async () => {
        while (!over) {
          const { values, errors } = await settled([backend.increment('counter')])
          answered.push(...(values as number[]))
          unknown += errors.filter(error => error.outcome === 'unknown').length
          for (const error of errors) expect(['CACHE_TIMEOUT', 'CACHE_UNAVAILABLE']).toContain(error.code)
        }
      })
      for (let round = 0; round < 3; round++) {
        await sleep(300)
        await admin.command({ replSetStepDown: 1, force: true })
        await sleep(300)
        await primary(server.url)
        await worksAgain(() => backend.increment('probe'))
      }
      over = true
      await Promise.all(workers)
      const counted = Number(text(await backend.get('counter')))
      expect(answered.length).toBeGreaterThan(100)
      expect(new Set(answered).size).toBe(answered.length)
      expect(counted).toBeGreaterThanOrEqual(answered.length)
      expect(counted).toBeLessThanOrEqual(answered.length + unknown)
      expect(text(await backend.get('kept'))).toBe('1')
    }, 120_000)
  })
})
