import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { FaultProxy } from '../src/index.ts'

describe('FaultProxy', () => {
  let server: Server
  let proxy: FaultProxy
  let seen: string
  const sockets = new Set<Socket>()

  beforeEach(async () => {
    seen = ''
    // Answers each byte with an upper-case copy.
    server = createServer({ noDelay: true }, socket => {
      sockets.add(socket.on('error', () => {}))
      socket.on('data', bytes => {
        seen += bytes
        socket.write(String(bytes).toUpperCase())
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    proxy = await FaultProxy.start({ host: '127.0.0.1', port })
  })

  afterEach(async () => {
    await proxy.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  /** A client that keeps what it receives and how its connection ended. */
  async function open(): Promise<{ socket: Socket; pieces: string[]; ended: Promise<string>; received(): string }> {
    const socket = connect(proxy.port, proxy.host)
    const pieces: string[] = []
    let reason = 'end'
    socket.on('data', bytes => pieces.push(String(bytes)))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reason = String(error.code)
    })
    const ended = new Promise<string>(resolve => socket.once('close', () => resolve(reason)))
    sockets.add(socket)
    await Promise.race([new Promise(resolve => socket.once('connect', resolve)), ended])
    return { socket, pieces, ended, received: () => pieces.join('') }
  }

  async function until(condition: () => boolean): Promise<number> {
    const start = performance.now()
    while (!condition()) {
      if (performance.now() - start > 3000) throw new Error('not within 3 s')
      await sleep(5)
    }
    return performance.now() - start
  }

  test('without faults passes everything on and counts it', async () => {
    const { socket, received, ended } = await open()
    socket.write('abc')
    await until(() => received() === 'ABC')
    socket.write('de')
    await until(() => received() === 'ABCDE')
    expect(proxy.traffic).toEqual({ connections: 1, sent: 5, received: 5, roundTrips: 2 })
    socket.end()
    expect(await ended).toBe('end')
  })

  test('refuse ends open connections and refuses new ones, until it is healed', async () => {
    const first = await open()
    await proxy.inject({ refuse: true })
    expect(await first.ended).toBe('end')
    expect(await (await open()).ended).toBe('ECONNREFUSED')
    await proxy.heal()
    const second = await open()
    second.socket.write('a')
    await until(() => second.received() === 'A')
  })

  test('reset resets open connections and new ones', async () => {
    const first = await open()
    first.socket.write('a')
    await until(() => first.received() === 'A')
    await proxy.inject({ reset: true })
    expect(await first.ended).toBe('ECONNRESET')
    expect(await (await open()).ended).toBe('ECONNRESET')
  })

  test('blackhole holds both directions back, and heal lets through what is late', async () => {
    const { socket, received } = await open()
    await proxy.inject({ blackhole: true })
    socket.write('a')
    await sleep(100)
    expect([seen, received()]).toEqual(['', ''])
    await proxy.heal()
    await until(() => received() === 'A')
  })

  test('dropAnswers lets the server act and tells nobody', async () => {
    const { socket, received } = await open()
    await proxy.inject({ dropAnswers: true })
    socket.write('a')
    await until(() => seen === 'a')
    await sleep(50)
    expect([received(), socket.destroyed]).toEqual(['', false])
  })

  test('delay makes each answer late by that time, not by the sum', async () => {
    const { socket, received } = await open()
    await proxy.inject({ delay: 200 })
    socket.write('a')
    await until(() => seen === 'a')
    await sleep(100)
    socket.write('b')
    const start = performance.now()
    expect(received()).toBe('')
    await until(() => received() === 'A')
    await until(() => received() === 'AB')
    expect(performance.now() - start).toBeGreaterThan(180)
    expect(performance.now() - start).toBeLessThan(290)
  })

  test('slice delivers pieces', async () => {
    const { socket, pieces, received } = await open()
    await proxy.inject({ slice: 2 })
    socket.write('abcde')
    await until(() => received() === 'ABCDE')
    expect(pieces).toEqual(['AB', 'CD', 'E'])
  })

  test('bytesPerSecond lets a large answer trickle', async () => {
    const { socket, received } = await open()
    await proxy.inject({ bytesPerSecond: 10_000 })
    socket.write('x'.repeat(3000))
    const elapsed = await until(() => received().length === 3000)
    expect(elapsed).toBeGreaterThan(250)
    expect(elapsed).toBeLessThan(1000)
  })

  test('cutAfter ends the connection in the middle of an answer', async () => {
    const { socket, received, ended } = await open()
    socket.write('abc')
    await until(() => received() === 'ABC')
    await proxy.inject({ cutAfter: 2 })
    socket.write('defghi')
    expect(await ended).toBe('end')
    expect([seen, received()]).toEqual(['abcdefghi', 'ABCDE'])
  })

  test('cutAfter 0 ends it before the first byte of an answer', async () => {
    await proxy.inject({ cutAfter: 0 })
    const { socket, received, ended } = await open()
    socket.write('abc')
    expect(await ended).toBe('end')
    expect([seen, received()]).toEqual(['abc', ''])
  })

  test('a client that leaves during a blackhole is gone for the server only afterwards', async () => {
    const { socket } = await open()
    socket.write('a')
    await until(() => seen === 'a')
    const [serverSide] = [...sockets].filter(other => other.localPort === (server.address() as { port: number }).port)
    await proxy.inject({ blackhole: true })
    socket.destroy()
    await sleep(50)
    expect(serverSide?.readableEnded).toBe(false)
    await proxy.heal()
    await until(() => serverSide?.destroyed === true)
  })
})
