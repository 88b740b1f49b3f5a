import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@cachekit/core'
import {
  describeService,
  FaultProxy,
  type RedisCluster,
  runScript,
  type Server,
  startRedisCluster,
  startServer,
} from '@cachekit/testing'
import { Cluster, Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { bytes, recovery, text, worksAgain } from '../../core/test/outages.ts'
import { RedisBus, type RedisBusOptions } from '../src/index.ts'

// Jest fails a case during which a rejection is unhandled or an exception is not caught.

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

/** A bus, what it received, and how often it was told of a gap. */
class Heard {
  readonly bus: RedisBus
  readonly messages: Uint8Array[] = []
  gaps = 0

  constructor(options: RedisBusOptions) {
    this.bus = new RedisBus(options)
    opened.push(this.bus)
  }

  static async on(options: RedisBusOptions): Promise<Heard> {
    const heard = new Heard(options)
    await heard.subscribe()
    return heard
  }

  subscribe(): Promise<void> {
    return this.bus.subscribe(
      message => this.messages.push(message),
      () => this.gaps++,
    )
  }

  get texts(): (string | undefined)[] {
    return this.messages.map(text)
  }
}

async function until(condition: () => boolean | Promise<boolean>, patience: number = recovery): Promise<void> {
  for (const end = performance.now() + patience; !(await condition()); await sleep(5)) {
    if (performance.now() > end) throw new Error(`Not within ${patience} ms: ${condition}`)
  }
}

async function ownServer(): Promise<Server> {
  const server = await startServer('redis')
  opened.push(server)
  return server
}

/** What `call` rejects with, and within how many milliseconds. */
async function failure(call: Promise<unknown>): Promise<{ error: CacheError; duration: number }> {
  const start = performance.now()
  const error = await call.then(
    () => new Error('resolved'),
    reason => reason,
  )
  expect(error).toBeInstanceOf(CacheError)
  return { error, duration: performance.now() - start }
}

const careful = { autoResendUnfulfilledCommands: false, disconnectTimeout: 0 }

describeService('redis', () => {
  let server: Server
  let redis: Redis
  beforeAll(async () => {
    server = await startServer('redis')
  }, 60_000)
  afterAll(() => server.close())
  beforeEach(async () => {
    redis = new Redis(server.url, careful)
    redis.on('error', () => {})
    opened.push({ close: async () => redis.disconnect() })
  })

  async function connections(): Promise<string[]> {
    return String(await redis.client('LIST'))
      .trim()
      .split('\n')
  }

  test('a message reaches every subscriber of every bus on the channel, its own too', async () => {
    const [one, other] = [await Heard.on({ url: server.url }), await Heard.on({ url: server.url })]
    const elsewhere = await Heard.on({ url: server.url, channel: 'elsewhere' })
    await one.subscribe()
    await other.bus.publish(bytes('hello'))
    await until(() => one.messages.length === 2 && other.messages.length === 1)
    await elsewhere.bus.publish(bytes('there'))
    await until(() => elsewhere.messages.length === 1)
    expect([one.texts, other.texts, elsewhere.texts]).toEqual([['hello', 'hello'], ['hello'], ['there']])
    expect([one.gaps, other.gaps, elsewhere.gaps]).toEqual([0, 0, 0])
  })

  test('messages are those of the Redis channel', async () => {
    const heard = await Heard.on({ url: server.url, channel: 'a channel' })
    expect(await redis.publish('a channel', 'by hand')).toBe(1)
    await until(() => heard.messages.length === 1)
    expect(heard.texts).toEqual(['by hand'])
  })

  test('bytes come as they were when they were published', async () => {
    const heard = await Heard.on({ url: server.url })
    const all = Uint8Array.from({ length: 256 }, (_, index) => index)
    const large = new Uint8Array(1_000_000).fill(0xff)
    const changed = Uint8Array.from(all)
    const sent = [all, new Uint8Array(), all, large]
    const publishing = Promise.all([all, new Uint8Array(), changed, large].map(message => heard.bus.publish(message)))
    changed.fill(0)
    await publishing
    await until(() => heard.messages.length === 4)
    expect(heard.messages.map((message, index) => Buffer.compare(message, sent[index] as Uint8Array))).toEqual([
      0, 0, 0, 0,
    ])
  })

  test('messages of one bus come in order, those from before it was connected too', async () => {
    const heard = await Heard.on({ url: server.url })
    const { bus } = new Heard({ url: server.url })
    const numbers = Array.from({ length: 1000 }, (_, index) => String(index))
    await Promise.all(numbers.map(number => bus.publish(bytes(number))))
    await until(() => heard.messages.length === 1000)
    expect(heard.texts).toEqual(numbers)
  })

  describe.each<[string, (server: Server) => Promise<void>]>([
    [
      'killed and started again',
      async server => {
        await server.kill()
        await sleep(300)
        await server.restart()
      },
    ],
    [
      'frozen and resumed',
      async server => {
        await server.freeze()
        await sleep(2500)
        await server.resume()
      },
    ],
  ])('when the server was %s', (_what, outage) => {
    test('messages come again, after each subscriber was told of the gap once', async () => {
      const server = await ownServer()
      const heard = await Heard.on({ url: server.url })
      const publisher = new Heard({ url: server.url }).bus
      await publisher.publish(bytes('before'))
      for (let round = 1; round <= 2; round++) {
        await outage(server)
        await until(() => heard.gaps === round)
        await worksAgain(() => publisher.publish(bytes(`after ${round}`)))
        await until(() => heard.texts.includes(`after ${round}`))
      }
      expect(heard.texts).toEqual(['before', 'after 1', 'after 2'])
      expect(heard.gaps).toBe(2)
    }, 30_000)
  })

  test('when an operator kills the connections that subscribe, there is a new one, and a gap', async () => {
    const heard = await Heard.on({ url: server.url })
    expect(await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')).toBe(1)
    await until(() => heard.gaps === 1)
    await heard.bus.publish(bytes('after'))
    await until(() => heard.messages.length === 1)
  })

  test('a network that swallows everything is noticed', async () => {
    const proxy = await FaultProxy.start(server)
    opened.push(proxy)
    const heard = await Heard.on({ url: `redis://${proxy.host}:${proxy.port}` })
    await proxy.inject({ blackhole: true })
    await sleep(2200)
    await proxy.heal()
    await until(() => heard.gaps === 1)
    await redis.publish('cachekit', 'after')
    await until(() => heard.texts.includes('after'))
  }, 20_000)

  test('a bus that nothing is sent to keeps its connection', async () => {
    const heard = await Heard.on({ url: server.url, timeout: 100 })
    const listening = async (): Promise<string> =>
      String(await redis.client('LIST', 'TYPE', 'PUBSUB')).split(' ')[0] ?? ''
    const before = await listening()
    await sleep(3500)
    expect(await listening()).toBe(before)
    expect(heard.gaps).toBe(0)
  }, 20_000)

  describe('publish rejects', () => {
    test('at once without a server, and keeps nothing for later', async () => {
      const server = await ownServer()
      const heard = await Heard.on({ url: server.url })
      await heard.bus.publish(bytes('before'))
      await server.kill()
      for (let round = 0; round < 20; round++) {
        const { error, duration } = await failure(heard.bus.publish(bytes(`lost ${round}`)))
        expect(duration).toBeLessThan(1000)
        expect([error.code, error.backend, error.operation]).toEqual(['CACHE_UNAVAILABLE', 'redis', 'publish'])
        // The very first may still have left for the server that has just ended.
        if (round > 0) expect(error.outcome).toBe('not-applied')
      }
      await server.restart()
      await until(() => heard.gaps === 1)
      await worksAgain(() => heard.bus.publish(bytes('after')))
      await until(() => heard.texts.includes('after'))
      expect(heard.texts).toEqual(['before', 'after'])
    }, 20_000)

    test('within its timeout when the server is frozen, and sends nothing again', async () => {
      const server = await ownServer()
      const heard = await Heard.on({ url: server.url })
      const publisher = new Heard({ url: server.url, timeout: 500 }).bus
      await publisher.publish(bytes('before'))
      await server.freeze()
      for (let round = 0; round < 3; round++) {
        const { error, duration } = await failure(publisher.publish(bytes(`unknown ${round}`)))
        expect(duration).toBeLessThan(700)
        expect(['CACHE_TIMEOUT', 'CACHE_UNAVAILABLE']).toContain(error.code)
        expect(error.outcome).toBe(round === 0 ? 'unknown' : 'not-applied')
      }
      await server.resume()
      await until(async () => {
        await worksAgain(() => publisher.publish(bytes('after')))
        return heard.texts.includes('after')
      })
      // The one that had left may have been delivered, once.
      const others = heard.texts.filter(each => each !== 'after')
      expect([['before'], ['before', 'unknown 0']]).toContainEqual(others)
    }, 20_000)

    test('on a client that was passed in and has lost its connection, whose queue would keep the message', async () => {
      const server = await ownServer()
      const client = new Redis(server.url, { ...careful, retryStrategy: () => 100 })
      client.on('error', () => {})
      opened.push({ close: async () => client.disconnect() })
      const publisher = new Heard({ client }).bus
      await publisher.publish(bytes('before'))
      await server.kill()
      await until(() => client.status !== 'ready')
      const { error, duration } = await failure(publisher.publish(bytes('lost')))
      expect([error.code, error.outcome]).toEqual(['CACHE_UNAVAILABLE', 'not-applied'])
      expect(duration).toBeLessThan(500)
      await server.restart()
      const heard = await Heard.on({ url: server.url })
      await worksAgain(() => publisher.publish(bytes('after')))
      await until(() => heard.texts.includes('after'))
      expect(heard.texts).toEqual(['after'])
    }, 20_000)
  })

  test('subscribe rejects without a server, and works when it is called again', async () => {
    const server = await ownServer()
    await server.kill()
    const heard = new Heard({ url: server.url })
    const { error, duration } = await failure(heard.subscribe())
    expect([error.code, error.operation, error.outcome]).toEqual(['CACHE_UNAVAILABLE', 'subscribe', undefined])
    expect(duration).toBeLessThan(2200)
    await server.restart()
    await heard.subscribe()
    await heard.bus.publish(bytes('once'))
    await until(() => heard.messages.length > 0)
    await sleep(50)
    expect(heard.texts).toEqual(['once'])
  }, 20_000)

  describe.each([
    ['6', Redis],
    ['5', Redis5 as unknown as typeof Redis],
  ])('a client that was passed in, of ioredis %s,', (_version, Client) => {
    test('goes on as an ordinary client, with the listeners it had', async () => {
      const client = new Client(server.url, careful)
      opened.push({ close: async () => client.disconnect() })
      await client.set('k', 'v')
      const listeners = (): number[] => client.eventNames().map(name => client.listenerCount(name))
      const before = listeners()
      const heard = await Heard.on({ client })
      await heard.bus.publish(bytes('hello'))
      await until(() => heard.messages.length === 1)
      expect(await client.get('k')).toBe('v')
      await heard.bus.close()
      expect(client.status).toBe('ready')
      expect(await client.get('k')).toBe('v')
      expect(listeners()).toEqual(before)
    })

    test('may just have been made, or be lazy', async () => {
      for (const lazyConnect of [false, true]) {
        const client = new Client(server.url, { ...careful, lazyConnect })
        opened.push({ close: async () => client.disconnect() })
        const heard = new Heard({ client })
        await Promise.all([heard.subscribe(), heard.bus.publish(bytes('perhaps too early'))])
        await heard.bus.publish(bytes('hello'))
        await until(() => heard.texts.includes('hello'))
      }
    })
  })

  test('a client that sends commands again is refused, as are options that make no sense', () => {
    const client = new Redis(server.url, { lazyConnect: true })
    for (const options of [{ client }, { channel: '' }, { timeout: 0 }, { url: 'http://x' }, { channel: 5 as never }]) {
      expect(() => new RedisBus(options)).toThrow(expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }))
    }
  })

  test('the user that the README tells operators to make may use it', async () => {
    const readme = readFileSync(join(__dirname, '../README.md'), 'utf8')
    const own = await ownServer()
    const admin = new Redis(own.url, careful)
    opened.push({ close: async () => admin.disconnect() })
    const lines = Array.from(readme.matchAll(/^ACL SETUSER (.*)$/gm), ([, words = '']) => words.split(' '))
    expect(lines).toHaveLength(2)
    for (const words of lines) await admin.acl('SETUSER', ...(words as [string]))
    const heard = await Heard.on({ url: own.url.replace('//', '//cachekit:secret@') })
    await heard.bus.publish(bytes('hello'))
    await until(() => heard.messages.length === 1)
    await sleep(1200)
    const other = new Heard({ url: own.url.replace('//', '//cachekit:secret@'), channel: 'another' })
    for (const call of [other.bus.publish(bytes('hello')), other.subscribe()]) {
      const { error } = await failure(call)
      expect([error.code, error.message]).toEqual(['CACHE_BACKEND_FAILED', expect.stringContaining('ACL')])
    }
    expect(heard.gaps).toBe(0)
  }, 20_000)

  describe('close', () => {
    test('frees both connections, and what comes later rejects', async () => {
      const before = (await connections()).length
      const heard = await Heard.on({ url: server.url })
      await heard.bus.publish(bytes('hello'))
      expect((await connections()).length).toBe(before + 2)
      await Promise.all([heard.bus.close(), heard.bus.close()])
      await heard.bus.close()
      await until(async () => (await connections()).length === before)
      for (const call of [() => heard.bus.publish(bytes('late')), () => heard.subscribe()]) {
        expect((await failure(call())).error.code).toBe('CACHE_CLOSED')
      }
    })

    test('waits for messages under way, and ends a subscribe that waits', async () => {
      const heard = await Heard.on({ url: server.url })
      const other = new Heard({ url: server.url })
      const publishing = other.bus.publish(bytes('hello'))
      const subscribing = failure(other.subscribe())
      await other.bus.close()
      await publishing
      expect((await subscribing).error.code).toBe('CACHE_CLOSED')
      await until(() => heard.messages.length === 1)
    })

    test('ends while the server is away, and leaves nothing behind that connects', async () => {
      const server = await ownServer()
      const heard = await Heard.on({ url: server.url })
      await server.kill()
      await sleep(150)
      await heard.bus.close()
      await server.restart()
      await sleep(500)
      const look = new Redis(server.url, careful)
      opened.push({ close: async () => look.disconnect() })
      expect(await look.client('LIST', 'TYPE', 'PUBSUB')).toBe('')
      expect(heard.gaps).toBe(0)
    }, 20_000)

    test('lets the process end at once', async () => {
      const { stdout } = await runScript(join(__dirname, 'fixtures/bus-and-close.ts'), server.url)
      expect(Number(stdout)).toBeLessThan(500)
    }, 20_000)
  })
})

describeService('redis', () => {
  describe('in a Cluster', () => {
    let cluster: RedisCluster
    beforeAll(async () => {
      cluster = await startRedisCluster()
    }, 60_000)
    afterAll(() => cluster.close())

    test.each<[string, () => RedisBusOptions]>([
      ['that the bus connects to', () => ({ cluster: cluster.urls.slice(0, 1) })],
      [
        'of a client that was passed in',
        () => {
          const client = new Cluster(
            cluster.nodes.map(({ host, port }) => ({ host, port })),
            { retryDelayOnFailover: 0, redisOptions: { disconnectTimeout: 0 } },
          )
          opened.push({ close: async () => client.disconnect() })
          return { client }
        },
      ],
    ])(
      '%s, messages reach those at other nodes, in order',
      async (_what, options) => {
        const heard = await Promise.all(Array.from({ length: 6 }, () => Heard.on(options())))
        const publisher = new Heard(options()).bus
        const numbers = Array.from({ length: 300 }, (_, index) => String(index))
        for (const number of numbers) await publisher.publish(bytes(number))
        await until(() => heard.every(({ messages }) => messages.length === 300))
        for (const { texts } of heard) expect(texts).toEqual(numbers)
      },
      30_000,
    )

    test('who published or listened at a node that was killed goes on at another', async () => {
      const heard = await Promise.all(Array.from({ length: 6 }, () => Heard.on({ cluster: cluster.urls })))
      for (const { bus } of heard) await bus.publish(bytes('before'))
      await until(() => heard.every(({ messages }) => messages.length === 6))
      const listeners = await Promise.all(
        cluster.nodes.map(async ({ url }) => {
          const node = new Redis(url, careful)
          opened.push({ close: async () => node.disconnect() })
          return String(await node.client('LIST', 'TYPE', 'PUBSUB')).split('\n').length - 1
        }),
      )
      const most = Math.max(...listeners)
      await cluster.nodes[listeners.indexOf(most)]?.kill()
      await until(() => heard.filter(({ gaps }) => gaps === 1).length === most, 5000)
      for (const { bus } of heard) await worksAgain(() => bus.publish(bytes('after')), 5000)
      await until(() => heard.every(({ texts }) => texts.filter(each => each === 'after').length === 6))
      expect(heard.filter(({ gaps }) => gaps > 0).length).toBe(most)
    }, 30_000)
  })
})
