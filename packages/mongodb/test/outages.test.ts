import * as os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeService, FaultProxy, type Server, startServer } from '@cachekit/testing'
import { type Db, MongoClient } from 'mongodb'
import { bytes, limit, outageCases, range, settled, text, timeout, worksAgain } from '../../core/test/outages.ts'
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
  outageCases({
    start: ownServer,
    open: ({ url }) => open({ url }),
    openPassed: ({ url }) => {
      const client = new MongoClient(url, { runtimeAdapters: { os } })
      opened.push(client)
      return open({ client, timeout: 300 })
    },
    ready: ({ url }) => primary(url),
    keeps: true,
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
    for (const { code, outcome } of errors) {
      expect(['CACHE_UNAVAILABLE', 'CACHE_TIMEOUT']).toContain(code)
      expect(outcome).toBe('unknown')
    }
    await server.restart()
    await primary(server.url)
    expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
    expect(text(await backend.get('k'))).toBe('1')
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
