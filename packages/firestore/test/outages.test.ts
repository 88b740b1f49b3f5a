import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheError } from '@cachekit/core'
import { describeService, FaultProxy, runScript, type Server, startServer } from '@cachekit/testing'
import { type DocumentReference, Firestore } from '@google-cloud/firestore'
import {
  bytes,
  callAll,
  limit,
  outageCases,
  range,
  settled,
  text,
  timeout,
  worksAgain,
} from '../../core/test/outages.ts'
import { FirestoreBackend, type FirestoreBackendOptions } from '../src/index.ts'
import { warmUp } from './fixtures/warm-up.ts'

// Or else the driver looks for a server of Google Cloud's own machines.
process.env.METADATA_SERVER_DETECTION = 'none'

// Jest fails a case during which a rejection is unhandled or an exception is not caught.

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

async function ownServer(): Promise<Server> {
  const server = await startServer('firestore')
  opened.push(server)
  await warmUp(server)
  return server
}

function open({ host, port }: { host: string; port: number }, options: FirestoreBackendOptions = {}): FirestoreBackend {
  const backend = new FirestoreBackend({
    projectId: 'outages',
    clientOptions: { host: `${host}:${port}`, ssl: false },
    timeout,
    ...options,
  })
  opened.push(backend)
  return backend
}

describeService('firestore', () => {
  // The emulator keeps its data in memory.
  outageCases({ start: ownServer, open, ready: warmUp, keeps: false })

  test('calls under way when the server is killed settle, and none claims to be undone', async () => {
    const server = await ownServer()
    const backend = open(server)
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
    await warmUp(server)
    expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
  }, 30_000)

  test('a process that closes its backend while calls are under way on a frozen server ends', async () => {
    const server = await ownServer()
    const running = runScript(join(__dirname, 'fixtures/close-under-way.ts'), `${server.host}:${server.port}`)
    await once(running.child.stdout as Readable, 'data')
    await server.freeze()
    running.child.stdin?.write('now')
    const { stdout, stderr } = await running
    const [closing, ending] = JSON.parse(stdout.split('\n')[1] as string) as [number, number]
    expect(closing).toBeLessThan(2 * limit)
    expect(ending).toBeLessThan(500)
    expect(stderr).toBe('')
  }, 30_000)

  describe('a write whose answer is lost', () => {
    /** Lets a write reach the server, and then resets the connection instead of answering. */
    async function losingAnswers(proxy: FaultProxy, write: () => Promise<unknown>): Promise<CacheError | undefined> {
      await proxy.inject({ dropAnswers: true })
      const outcome = settled([write()])
      await sleep(timeout / 2)
      await proxy.inject({ reset: true })
      await proxy.heal()
      return (await outcome).errors[0]
    }

    test('is applied, reported as unknown, and not sent again', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const [direct, backend] = [open(server), open(proxy)]
      await Promise.all([direct.open(), backend.open()])
      const unknown = { code: 'CACHE_UNAVAILABLE', outcome: 'unknown', retryable: true }
      expect(await losingAnswers(proxy, () => backend.add('k', bytes('1')))).toMatchObject(unknown)
      expect(text(await direct.get('k'))).toBe('1')
      await worksAgain(() => backend.get('k'))
      expect(await losingAnswers(proxy, () => backend.set('k', bytes('2')))).toMatchObject(unknown)
      expect(await direct.delete('k')).toBe(true)
      // A write that is sent again would land now.
      await sleep(1000)
      expect(await direct.get('k')).toBeUndefined()
    }, 30_000)

    test('is counted once, wherever connections are cut', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const [direct, backend] = [open(server), open(proxy)]
      const answered: number[] = []
      let unknown = 0
      for (let round = 0; round < 40; round++) {
        await worksAgain(() => backend.increment('warm'))
        await proxy.inject(round % 4 === 3 ? { reset: true } : { cutAfter: 1 + round * 25 })
        const { values, errors } = await settled(range(10).map(() => backend.increment('counter')))
        answered.push(...(values as number[]))
        unknown += errors.filter(error => error.outcome === 'unknown').length
        for (const error of errors) expect(['CACHE_UNAVAILABLE', 'CACHE_TIMEOUT']).toContain(error.code)
        await proxy.heal()
      }
      const stored = Number(text(await direct.get('counter')))
      expect(answered.length).toBeGreaterThan(0)
      expect(unknown).toBeGreaterThan(0)
      // Every sum was answered once, and nothing was counted that its caller took for undone.
      expect(new Set(answered).size).toBe(answered.length)
      expect(stored).toBeGreaterThanOrEqual(answered.length)
      expect(stored).toBeLessThanOrEqual(answered.length + unknown)
    }, 60_000)
  })

  test('after a network that lost everything, a new connection serves', async () => {
    const server = await ownServer()
    const proxy = await FaultProxy.start(server)
    opened.push(proxy)
    const backend = open(proxy)
    await backend.set('k', bytes('1'))
    await proxy.inject({ blackhole: true })
    for (let round = 0; round < 3; round++) {
      const { values } = await settled(callAll(backend))
      expect(values).toEqual([])
    }
    const { connections } = proxy.traffic
    await proxy.heal()
    expect(text(await worksAgain(() => backend.get('k')))).toBe('1')
    expect(proxy.traffic.connections).toBeGreaterThan(connections)
  }, 30_000)

  test('one call that is slow does not end the connection of the others', async () => {
    const server = await ownServer()
    const proxy = await FaultProxy.start(server)
    opened.push(proxy)
    const firestore = new Firestore({ projectId: 'outages', host: `${server.host}:${server.port}`, ssl: false })
    opened.push({ close: () => firestore.terminate() })
    const backend = open(proxy)
    await backend.set('locked', bytes('1'))
    const { connections } = proxy.traffic
    const { docs } = await firestore.collection('cachekit').where('id', '==', 'cachekit:locked').get()
    const [document] = docs
    const transaction = firestore.runTransaction(async each => {
      await each.get(document?.ref as DocumentReference)
      await sleep(1.5 * timeout)
    })
    await sleep(200)
    const slow = settled([backend.set('locked', bytes('2'))])
    for (let end = performance.now() + 1.2 * timeout; performance.now() < end; ) {
      expect(await backend.get('other')).toBeUndefined()
      await sleep(20)
    }
    expect((await slow).errors).toMatchObject([{ code: 'CACHE_TIMEOUT', outcome: 'unknown' }])
    expect(proxy.traffic.connections).toBe(connections)
    await transaction
  }, 30_000)
})
