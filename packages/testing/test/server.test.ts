import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { describeService, runScript, type Server, startServer } from '../src/index.ts'

jest.setTimeout(60_000) // servers and runs start here, maybe while the machine is busy

const connect = (url: string): Redis =>
  new Redis(url, { retryStrategy: () => null, commandTimeout: 500, disconnectTimeout: 100 }).on('error', () => {})

/** What a new client reads, or how it fails. */
async function read(url: string): Promise<string | null> {
  const client = connect(url)
  try {
    return await client.get('key')
  } catch (error) {
    return (error as Error).message
  } finally {
    client.disconnect()
  }
}

async function dataFolder(url: string): Promise<string> {
  const client = connect(url)
  const [, folder] = (await client.config('GET', 'dir')) as string[]
  client.disconnect()
  return folder ?? ''
}

const gone = 'Connection is closed.'

describeService('redis', shared => {
  describe('a server of one’s own', () => {
    let server: Server

    beforeAll(async () => {
      server = await startServer('redis', { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    })
    afterAll(() => server.close())

    test('is not the shared one', () => {
      expect(server.port).not.toBe(shared.port)
    })

    test('takes the arguments it is given', async () => {
      const client = connect(server.url)
      expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', 'yes'])
      client.disconnect()
    })

    test('is silent while it is frozen, and then goes on', async () => {
      const client = connect(server.url)
      await client.set('key', 'value')
      await server.freeze()
      await expect(client.get('key')).rejects.toThrow('Command timed out')
      await server.resume()
      expect(await read(server.url)).toBe('value')
      client.disconnect()
    })

    test.each(['stop', 'kill'] as const)('comes back with its data at the same address after %s()', async end => {
      await server[end]()
      expect(await read(server.url)).toBe(gone)
      await server.restart()
      expect(await read(server.url)).toBe('value')
    })

    test('restarts out of a freeze without a wait', async () => {
      await server.freeze()
      const start = performance.now()
      await server.restart()
      expect(performance.now() - start).toBeLessThan(4000)
      expect(await read(server.url)).toBe('value')
    })
  })

  test('close() ends a server and removes its files', async () => {
    const server = await startServer('redis')
    const folder = await dataFolder(server.url)
    await server.close()
    expect(await read(server.url)).toBe(gone)
    expect(existsSync(folder)).toBe(false)
  })

  test('a server ends when the process that started it is killed, and its files go with it', async () => {
    const script = runScript(join(__dirname, 'fixtures/start-redis.ts'))
    const failure = expect(script).rejects.toMatchObject({ signal: 'SIGKILL' })
    const [output] = await once(script.child.stdout as Readable, 'data')
    const url = String(output).trim()
    const folder = await dataFolder(url)
    script.child.kill('SIGKILL')
    await failure
    for (let attempt = 0; attempt < 50 && (await read(url)) !== gone; attempt++) await sleep(50)
    await sleep(200)
    expect([await read(url), existsSync(folder)]).toEqual([gone, false])
  })

  test('a server that cannot start says why', async () => {
    const start = startServer('redis', { args: ['--no-such-option', 'yes'] })
    await expect(start).rejects.toThrow(/redis ended as it started:[\s\S]*no-such-option/)
  })
})
