import { setTimeout as sleep } from 'node:timers/promises'
import { describeService, FaultProxy, type Server, startServer } from '@cachekit/testing'
import {
  bytes,
  callAll,
  operations,
  range,
  settled,
  text,
  timeout,
  worksAgain,
  writes,
} from '../../core/test/outages.ts'
import { DynamoDBBackend, type DynamoDBBackendOptions } from '../src/index.ts'
import { local } from './fixtures/local.ts'
import { warmUp } from './fixtures/warm-up.ts'

// Jest fails a case during which a rejection is unhandled or an exception is not caught.

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

async function ownServer(): Promise<Server> {
  const server = await startServer('dynamodb')
  opened.push(server)
  await warmUp(server)
  return server
}

async function restart(server: Server): Promise<void> {
  await server.restart()
  await warmUp(server)
}

function open(options: DynamoDBBackendOptions): DynamoDBBackend {
  const backend = new DynamoDBBackend({ timeout, ...options })
  opened.push(backend)
  return backend
}

describeService('dynamodb', () => {
  test.each([true, false])(
    'a server that starts after the backend is used as soon as it is there (provision: %s)',
    async provision => {
      const server = await ownServer()
      await server.stop()
      const backend = open({ ...local(server.url), provision })
      for (let round = 0; round < 3; round++) {
        const { values, errors } = await settled(callAll(backend))
        expect(values).toEqual([])
        expect(new Set(errors.map(error => error.code))).toEqual(new Set(['CACHE_UNAVAILABLE']))
        for (const error of errors.filter(each => writes.includes(each.operation ?? ''))) {
          expect([error.operation, error.outcome]).toEqual([error.operation, 'not-applied'])
        }
      }
      await restart(server)
      expect(await worksAgain(() => backend.increment('counter'))).toBe(1)
    },
    120_000,
  )

  test('calls under way when the server is killed settle, and none claims to be undone', async () => {
    const server = await ownServer()
    const backend = open(local(server.url))
    await backend.set('k', bytes('1'))
    await server.freeze()
    const calls = settled(range(40).map(key => backend.set(key, bytes('1'))))
    await sleep(100)
    await server.kill()
    const { values, errors } = await calls
    expect(values).toEqual([])
    expect(new Set(errors.map(error => `${error.code} ${error.outcome}`))).toEqual(
      new Set(['CACHE_UNAVAILABLE unknown']),
    )
    await restart(server)
    await worksAgain(() => backend.set('k', bytes('2')))
    expect(text(await backend.get('k'))).toBe('2')
  }, 120_000)

  test('a server killed under load leaves no call behind', async () => {
    const server = await ownServer()
    const backend = open(local(server.url))
    await backend.setMany(range(20).map(key => [key, bytes(key)]))
    let over = false
    const workers = range(20).map(async key => {
      let count = 0
      for (; !over; count++) {
        const { values } = await settled([backend.get(key)])
        for (const value of values) expect(text(value as Uint8Array | undefined)).toBe(key)
        await sleep(5)
      }
      return count
    })
    await sleep(200)
    await server.kill()
    await sleep(200)
    await restart(server)
    await sleep(200)
    over = true
    expect(Math.min(...(await Promise.all(workers)))).toBeGreaterThan(2)
    expect(text(await worksAgain(() => backend.get('key-0')))).toBe('key-0')
  }, 120_000)

  test('a frozen server costs every call its timeout, and no answer reaches another call after it', async () => {
    const server = await ownServer()
    const backend = open(local(server.url))
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
    expect((await backend.getMany(keys)).map(text)).toEqual(keys)
  }, 120_000)

  test('a restart costs nothing but the calls in between', async () => {
    const server = await ownServer()
    const backend = open(local(server.url))
    await backend.set('k', bytes('1'))
    await restart(server)
    expect(text(await worksAgain(() => backend.get('k')))).toBe('1')
    for (const call of Object.values(operations)) await worksAgain(() => call(backend))
  }, 120_000)

  test('an increment whose answer is lost is not applied twice', async () => {
    const server = await ownServer()
    const proxy = await FaultProxy.start(server)
    opened.push(proxy)
    const backend = open(local(`http://${proxy.host}:${proxy.port}`))
    for (let index = 0; index < 10; index++) await backend.increment('counter')
    await proxy.inject({ dropAnswers: true })
    const { values, errors } = await settled(range(20).map(() => backend.increment('counter')))
    expect(values).toEqual([])
    expect(new Set(errors.map(error => error.outcome))).toEqual(new Set(['unknown']))
    await proxy.heal()
    expect(text(await worksAgain(() => backend.get('counter')))).toBe('30')
  }, 120_000)

  test('many calls that wait for a server print nothing', async () => {
    const server = await ownServer()
    const proxy = await FaultProxy.start(server)
    opened.push(proxy)
    const backend = open({ ...local(`http://${proxy.host}:${proxy.port}`), timeout: 4000, provision: false })
    await backend.open()
    const warn = jest.spyOn(console, 'warn').mockImplementation()
    await proxy.inject({ blackhole: true })
    await Promise.allSettled(range(200).map(key => backend.get(key)))
    expect(warn).not.toHaveBeenCalled()
    warn.mockRestore()
  }, 120_000)
})
