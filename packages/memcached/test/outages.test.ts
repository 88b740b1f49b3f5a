import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeService, FaultProxy, type Server, startServer } from '@cachekit/testing'
import { bytes, outageCases, range, settled, text, timeout, worksAgain } from '../../core/test/outages.ts'
import { MemcachedBackend, type MemcachedBackendOptions } from '../src/index.ts'
import { countsOf, keysIn } from './ask.ts'

// Jest fails a case during which a rejection is unhandled or an exception is not caught.

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

async function ownServer(): Promise<Server> {
  const server = await startServer('memcached')
  opened.push(server)
  return server
}

function open(options: MemcachedBackendOptions): MemcachedBackend {
  const backend = new MemcachedBackend({ timeout, ...options })
  opened.push(backend)
  return backend
}

const at = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`

describeService('memcached', () => {
  outageCases({ start: ownServer, open: server => open({ servers: at(server) }), keeps: false })

  test('calls under way when the server is killed settle, and none claims to be undone', async () => {
    const server = await ownServer()
    const backend = open({ servers: at(server) })
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

  describe('a write is never sent twice', () => {
    test('when its answer is lost', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const backend = open({ servers: at(proxy) })
      await backend.set('warm', bytes('1'))
      const before = (await countsOf(server)).cmd_set as number
      await proxy.inject({ dropAnswers: true })
      const { values, errors } = await settled(range(50).map(key => backend.add(key, bytes('1'))))
      expect(values).toEqual([])
      expect(new Set(errors.map(error => error.outcome))).toEqual(new Set(['unknown']))
      await proxy.heal()
      await worksAgain(() => backend.get('warm'))
      // The server had done them all, once.
      expect((await backend.getMany(range(50))).map(text)).toEqual(range(50).map(() => '1'))
      expect((await countsOf(server)).cmd_set).toBe(before + 50)
    }, 30_000)

    test('when connections are cut in the middle of answers', async () => {
      const server = await ownServer()
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const backend = open({ servers: at(proxy) })
      const answered: number[] = []
      let unknown = 0
      for (let round = 0; round < 40; round++) {
        await worksAgain(() => backend.increment('warm'))
        await proxy.inject(round % 4 === 3 ? { reset: true } : { cutAfter: 1 + round * 100 })
        const { values, errors } = await settled(range(10).map(() => backend.increment('counter')))
        answered.push(...(values as number[]))
        unknown += errors.filter(error => error.outcome === 'unknown').length
        expect(errors.filter(error => error.code !== 'CACHE_UNAVAILABLE')).toEqual([])
        await proxy.heal()
      }
      await worksAgain(() => backend.get('counter'))
      const stored = Number(text(await backend.get('counter')))
      expect(answered.length).toBeGreaterThan(0)
      expect(unknown).toBeGreaterThan(0)
      // Every sum was answered once, and nothing was counted that its caller took for undone.
      expect(new Set(answered).size).toBe(answered.length)
      expect(stored).toBeGreaterThanOrEqual(answered.length)
      expect(stored).toBeLessThanOrEqual(answered.length + unknown)
    }, 60_000)
  })

  describe('of two servers', () => {
    let first: Server
    let second: Server
    let backend: MemcachedBackend
    /** Keys on the first server, and keys on the second. */
    let mine: string[]
    let others: string[]
    beforeEach(async () => {
      ;[first, second] = [await ownServer(), await ownServer()]
      backend = open({ servers: [at(first), at(second)] })
      await backend.setMany(range(40).map(key => [key, bytes('before')]))
      const stored = await keysIn(first)
      mine = range(40).filter(key => stored.some(each => each.startsWith(`cachekit:${key}#`)))
      others = range(40).filter(key => !mine.includes(key))
    }, 60_000)

    test('one that is killed and brought back returns no old value, and hands its keys to nobody', async () => {
      const [key = ''] = mine
      for (let round = 0; round < 8; round++) {
        await first.kill()
        const { values, errors } = await settled([
          backend.get(key),
          backend.getMany(mine),
          backend.set(key, bytes('lost')),
          backend.add(`${key}`, bytes('lost')),
        ])
        expect(values).toEqual([])
        expect(new Set(errors.map(error => error.code))).toEqual(new Set(['CACHE_UNAVAILABLE']))
        // Those of the other go on.
        expect((await backend.getMany(others)).map(text)).toEqual(others.map(() => 'before'))
        const error = await backend.getMany(range(40)).catch(reason => reason)
        expect([error.code, new Set(error.keys)]).toEqual(['CACHE_BATCH_FAILED', new Set(mine)])
        await first.restart()
        expect(await worksAgain(() => backend.get(key))).toBeUndefined()
        await backend.set(key, bytes(`${round}`))
        expect(text(await backend.get(key))).toBe(`${round}`)
      }
      expect((await keysIn(second)).filter(each => each.startsWith(`cachekit:${key}#`))).toEqual([])
    }, 60_000)

    test('a frozen one costs only calls for its own keys, and clear() does not claim to have reached it', async () => {
      await first.freeze()
      const start = performance.now()
      expect((await backend.getMany(others)).map(text)).toEqual(others.map(() => 'before'))
      expect(performance.now() - start).toBeLessThan(timeout / 2)
      const { values, errors } = await settled([backend.clear(), ...mine.map(key => backend.get(key))])
      expect(values).toEqual([])
      for (const error of errors) expect(['CACHE_TIMEOUT', 'CACHE_UNAVAILABLE']).toContain(error.code)
      expect(errors.find(error => error.operation === 'clear')?.outcome).toBe('unknown')
      await first.resume()
      await worksAgain(() => backend.clear())
      expect((await backend.getMany(range(40))).filter(Boolean)).toEqual([])
    }, 30_000)

    test('one that was never there does not keep the other from serving', async () => {
      await first.kill()
      const late = open({ servers: [at(first), at(second)] })
      await late.open()
      expect((await late.getMany(others)).map(text)).toEqual(others.map(() => 'before'))
      const { errors } = await settled([late.get(mine[0] as string)])
      expect(errors.map(error => error.code)).toEqual(['CACHE_UNAVAILABLE'])
      const cleared = await late.clear().catch(reason => reason)
      expect(cleared).toMatchObject({ code: 'CACHE_UNAVAILABLE', outcome: 'unknown' })
      await first.restart()
      expect(await worksAgain(() => late.get(mine[0] as string))).toBeUndefined()
      expect((await late.getMany(others)).filter(Boolean)).toEqual([])
    }, 30_000)
  })

  test('no program is started to look for a server, as the driver starts `ping`', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cachekit-'))
    opened.push({ close: () => rm(folder, { recursive: true }) })
    await writeFile(join(folder, 'ping'), `#!/bin/sh\necho pinged > ${folder}/pinged\n`, { mode: 0o755 })
    const { PATH } = process.env
    process.env.PATH = `${folder}:${PATH}`
    try {
      const server = await ownServer()
      // Options with which the driver would look after the first failure.
      const clientOptions = { failures: 0, retry: 1, reconnect: 10, timeout: 100, retries: 0 }
      const backend = open({ servers: at(server), clientOptions })
      await backend.set('k', bytes('1'))
      await server.kill()
      for (let round = 0; round < 10; round++) await settled([backend.get('k')])
      await sleep(200)
      await server.restart()
      expect(await worksAgain(() => backend.get('k'))).toBeUndefined()
      expect((await readdir(folder)).sort()).toEqual(['ping'])
    } finally {
      process.env.PATH = PATH
    }
  }, 30_000)
})
