import { setTimeout as sleep } from 'node:timers/promises'
import { describeService, FaultProxy, type Server, startServer } from '@cachekit/testing'
import { bytes, outageCases, range, settled, startLate, text, timeout, worksAgain } from '../../core/test/outages.ts'
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
  outageCases({ start: ownServer, open: ({ url }) => open(local(url)), ready: warmUp, keeps: true, callers: 20 })

  test('a server that starts after a backend that creates no table', async () => {
    const withoutTable = ({ url }: Server): DynamoDBBackend => open({ ...local(url), provision: false })
    await startLate({ start: ownServer, open: withoutTable, ready: warmUp })
  }, 120_000)

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
