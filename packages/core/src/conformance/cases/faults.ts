// R1, R4, R12, R23 to R35: what happens when the network fails. The server is reached through a proxy of the kit.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { CacheBackend } from '../../backend.ts'
import { type CacheError, isCacheError } from '../../errors.ts'
import { keyedCalls, writes } from '../calls.ts'
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, describe, fail } from '../check.ts'
import type { Fault, FaultProxy } from '../fault-proxy.ts'
import type { Fixture } from '../fixture.ts'
import { checkOrder, recordHistory } from '../histories.ts'
import { inLanes } from '../lanes.ts'
import { bytes } from '../sample.ts'

/** Milliseconds that the backends under test give a call. */
const TIMEOUT = 500
/** Milliseconds in which a backend has to be back after an outage. */
const RECOVERY = 2000

/** What the server does, seen from the backend; each keeps calls from being answered. */
const OUTAGES: Readonly<Record<string, Fault>> = {
  'refuses connections': { kind: 'refuse' },
  'resets connections': { kind: 'reset' },
  'is behind a network that loses everything': { kind: 'blackhole' },
  'is frozen': { kind: 'freeze' },
  'answers too late': { kind: 'delay', milliseconds: 2 * TIMEOUT },
  'answers a byte at a time': { kind: 'slice', milliseconds: 40 },
  'is cut off before it answers': { kind: 'cut', bytes: 0 },
  'is cut off in the middle of an answer': { kind: 'cut', bytes: 3 },
  'acts and its answers are lost': { kind: 'drop replies', after: 0 },
  'answers nonsense': { kind: 'garbage' },
}

/** What an outage of the network is called; of a batch, what became of it is told for each key. */
const OUTAGE_CODES = ['CACHE_UNAVAILABLE', 'CACHE_TIMEOUT', 'CACHE_BATCH_FAILED']

const callsToStart: typeof keyedCalls = { ...keyedCalls, open: backend => backend.open() }

/** Two backends on one namespace: one that is not disturbed, and one behind a proxy, which is open. */
async function behindProxy(
  fixture: Fixture,
): Promise<{ direct: CacheBackend; backend: CacheBackend; proxy: FaultProxy }> {
  const direct = await fixture.root()
  const proxy = await fixture.proxy()
  const backend = await fixture.root({ timeout: TIMEOUT }, proxy)
  await works(backend, 10 * RECOVERY)
  return { direct, backend, proxy }
}

export const faultCases: readonly CaseDefinition[] = [
  ...Object.entries(OUTAGES).map(
    ([what, fault]): CaseDefinition => ({
      rule: 'R31',
      title: `every call settles in time while the server ${what}`,
      rootOnly: true,
      async run(fixture) {
        const { direct, backend, proxy } = await behindProxy(fixture)
        await direct.set('k', bytes('1'))
        await proxy.set(fault)
        for (let round = 0; round < 2; round++) {
          await Promise.all(
            Object.entries(keyedCalls).map(async ([name, call]) => {
              const error = await failureInTime(() => call(backend, 'k'), `${name} while the server ${what}`)
              if (error !== undefined) checkOutage(error, backend, name, fault)
            }),
          )
        }
      },
    }),
  ),
  {
    rule: 'R31',
    title: 'every call settles in time if the server was never there',
    rootOnly: true,
    async run(fixture) {
      const proxy = await fixture.proxy()
      for (const fault of [{ kind: 'refuse' }, { kind: 'reset' }, { kind: 'blackhole' }] as const) {
        await proxy.set(fault)
        const backend = await fixture.root({ timeout: TIMEOUT }, proxy)
        await Promise.all(
          Object.entries(callsToStart).map(async ([name, call]) => {
            const error = await failureInTime(() => call(backend, 'k'), `${name} without a server`)
            if (error !== undefined) checkOutage(error, backend, name, fault)
            // A connection that is accepted and then reset may be all that opening takes.
            else check(name === 'open', `${name} without a server: expected a rejection`)
          }),
        )
        checkEqual(
          await failureInTime(() => backend.close(), 'close() without a server'),
          undefined,
          'what close() rejects with',
        )
      }
    },
  },
  {
    rule: 'R31',
    title: 'clear(), keys() and large batches settle when nothing goes on for the timeout',
    rootOnly: true,
    async run(fixture) {
      const keys = Array.from({ length: 1000 }, (_, index) => `k${index}`)
      const calls: Record<string, (backend: CacheBackend) => Promise<unknown>> = {
        getMany: backend => backend.getMany(keys),
        setMany: backend => backend.setMany(keys.map(key => [key, bytes('2')])),
        deleteMany: backend => backend.deleteMany(keys),
        clear: backend => backend.clear(),
        keys: backend => backend.keys()[Symbol.asyncIterator]().next(),
      }
      await Promise.all(
        Object.entries(calls).map(async ([name, call]) => {
          const { direct, backend, proxy } = await behindProxy(fixture)
          if (name === 'keys' && !backend.supports.iteration) return
          await direct.setMany(keys.map(key => [key, bytes(key)]))
          await proxy.set({ kind: 'blackhole' })
          // What was done before the network failed may count as progress: then it has its time once more.
          const error = await failureInTime(() => call(backend), name, 2 * TIMEOUT)
          if (error === undefined)
            fail(`${name} of 1,000 keys while the network loses everything: expected a rejection`)
          checkOutage(error, backend, name, { kind: 'blackhole' })
        }),
      )
    },
  },
  {
    rule: 'R1',
    title: 'while the server is away a read rejects, and is no miss',
    rootOnly: true,
    async run(fixture) {
      const { direct, backend, proxy } = await behindProxy(fixture)
      await direct.setMany([
        ['k', bytes('1')],
        ['n', bytes('7')],
      ])
      const reads: Record<string, { call: () => Promise<unknown>; right: unknown }> = {
        get: { call: () => backend.get('k'), right: bytes('1') },
        getEntry: { call: async () => (await backend.getEntry('k'))?.value, right: bytes('1') },
        getMany: { call: () => backend.getMany(['k', 'n']), right: [bytes('1'), bytes('7')] },
        has: { call: () => backend.has('k'), right: true },
        add: { call: () => backend.add('k', bytes('no')), right: false },
      }
      for (const [what, fault] of Object.entries(OUTAGES)) {
        await proxy.set(fault)
        await Promise.all(
          Object.entries(reads).map(async ([name, { call, right }]) => {
            const answer = await call().catch(() => right)
            checkEqual(answer, right, `${name} while the server ${what}`)
          }),
        )
        await proxy.end()
        await works(backend, 2 * RECOVERY)
      }
    },
  },
  {
    rule: 'R4',
    title: 'no write resolves before the server can have heard of it',
    rootOnly: true,
    async run(fixture) {
      const { backend, proxy } = await behindProxy(fixture)
      await proxy.set({ kind: 'freeze' })
      const resolved: string[] = []
      const calls = Object.entries(keyedCalls)
        .filter(([name]) => writes.has(name))
        .map(([name, call]) =>
          call(backend, 'k').then(
            () => resolved.push(name),
            () => {},
          ),
        )
      await sleep(TIMEOUT / 5)
      checkEqual(resolved, [], 'writes that resolved while the server was frozen')
      await proxy.set({ kind: 'none' })
      await Promise.all(calls)
    },
  },
  {
    rule: 'R12',
    title: 'clear() names no crowd of keys in one command',
    rootOnly: true,
    async run(fixture) {
      const direct = await fixture.root()
      const proxy = await fixture.proxy()
      const backend = await fixture.root({}, proxy)
      await backend.open()
      const keys = Array.from({ length: 3000 }, (_, index) => `${index} ${'k'.repeat(200)}`)
      await direct.setMany(keys.map(key => [key, bytes('1')]))
      proxy.mostUnanswered = 0
      await backend.clear()
      const all = keys.reduce((sum, key) => sum + key.length, 0)
      const { mostUnanswered } = proxy
      check(mostUnanswered < all / 2, `clear() sent ${mostUnanswered} bytes at once where all keys have ${all}`)
    },
  },
  {
    rule: 'R23',
    title: 'no keys and invalid arguments cause no I/O',
    rootOnly: true,
    async run(fixture) {
      const proxy = await fixture.proxy()
      const backend = await fixture.root({}, proxy)
      await backend.getMany([])
      await backend.setMany([])
      await backend.deleteMany([])
      const invalid: (() => Promise<unknown>)[] = [
        () => backend.get(''),
        () =>
          backend.setMany([
            ['k', bytes('1')],
            ['', bytes('1')],
          ]),
        () => backend.setMany([['k', bytes('1'), { ttl: 0 }]]),
        () => backend.getMany(['k', '']),
        () => backend.increment('k', 0.5),
        () => backend.set('k', new Uint8Array(backend.supports.maxValueBytes + 1)),
      ]
      for (const call of invalid) {
        const settled = await call().then(
          () => 'resolved',
          () => 'rejected',
        )
        checkEqual(settled, 'rejected', 'a call with an invalid argument')
      }
      await sleep(20)
      checkEqual(proxy.connections, 0, 'connections that were made for nothing')
    },
  },
  {
    rule: 'R25',
    title: 'a batch that fails in part names the keys that failed, and the others are done',
    rootOnly: true,
    async run(fixture) {
      const { direct, backend, proxy } = await behindProxy(fixture)
      const keys = Array.from({ length: 300 }, (_, index) => `k${index}`)
      const batches: Record<string, { call: () => Promise<unknown>; done: Uint8Array | undefined }> = {
        setMany: { call: () => backend.setMany(keys.map(key => [key, bytes('new')])), done: bytes('new') },
        deleteMany: { call: () => backend.deleteMany(keys), done: undefined },
      }
      for (const [name, { call, done }] of Object.entries(batches)) {
        for (const after of [0, 1, 2, 5]) {
          await direct.setMany(keys.map(key => [key, bytes('old')]))
          await proxy.set({ kind: 'reset replies', after })
          const error = await call().then(
            () => undefined,
            (error: unknown) => error,
          )
          await proxy.end()
          await works(backend, 2 * RECOVERY)
          if (error !== undefined) check(isCacheError(error), `${name}: expected a CacheError, got ${describe(error)}`)
          // Without names all of them may have failed.
          if (error !== undefined && error.keys === undefined && error.code !== 'CACHE_BATCH_FAILED') continue
          const failed = new Set(error === undefined ? [] : error.keys)
          const subject = `${name} while connections are reset after ${after} answers`
          for (const key of failed)
            check(keys.includes(key), `${subject}: failed keys hold ${describe(key)}, which was not asked for`)
          const values = await direct.getMany(keys)
          for (const [index, key] of keys.entries()) {
            if (!failed.has(key))
              checkEqual(values[index], done, `value of ${key}, which ${subject} did not name as failed`)
          }
        }
      }
    },
  },
  {
    rule: 'R26',
    title: 'a batch costs fewer round trips than its keys would one by one',
    rootOnly: true,
    async run(fixture) {
      const proxy = await fixture.proxy()
      const backend = await fixture.root({}, proxy)
      const keys = Array.from({ length: 200 }, (_, index) => `k${index}`)
      await backend.setMany(keys.map(key => [key, bytes(key)]))
      const delay = 10
      await proxy.set({ kind: 'delay', milliseconds: delay })
      const calls: Record<string, () => Promise<unknown>> = {
        getMany: () => backend.getMany(keys),
        setMany: () => backend.setMany(keys.map(key => [key, bytes('2')])),
        deleteMany: () => backend.deleteMany(keys),
      }
      for (const [name, call] of Object.entries(calls)) {
        const start = performance.now()
        await call()
        const took = performance.now() - start
        const most = (keys.length * delay) / 2
        check(took < most, `${name} of ${keys.length} keys over a line with ${delay} ms took ${Math.round(took)} ms`)
      }
    },
  },
  {
    rule: 'R27',
    title: 'creating a backend makes no connection',
    rootOnly: true,
    async run(fixture) {
      const proxy = await fixture.proxy()
      const backend = await fixture.root({}, proxy)
      backend.namespace('view')
      await sleep(30)
      checkEqual(proxy.connections, 0, 'connections after create()')
      await backend.close()
      checkEqual(proxy.connections, 0, 'connections after close() of a backend that never opened')
    },
  },
  {
    rule: 'R28',
    title: 'close() settles while the server is silent, and so do the calls under way',
    rootOnly: true,
    async run(fixture) {
      const { backend, proxy } = await behindProxy(fixture)
      await proxy.set({ kind: 'blackhole' })
      const pending = Promise.all(Object.values(keyedCalls).map(call => call(backend, 'k').catch(() => {})))
      await sleep(20) // on their way
      // It may wait for the calls, and then for its own goodbye.
      await failureInTime(() => backend.close(), 'close() while the server is silent', 2 * TIMEOUT)
      await failureInTime(() => pending, 'calls that were under way at close()', TIMEOUT)
    },
  },
  {
    rule: 'R32',
    title: 'an outage is reported with its code, its cause, and for writes with their outcome',
    rootOnly: true,
    async run(fixture) {
      const { direct, backend, proxy } = await behindProxy(fixture)
      for (const [what, fault] of Object.entries(OUTAGES)) {
        await direct.set('secret-key', bytes('secret-value'))
        await proxy.set(fault)
        await Promise.all(
          (['get', 'set', 'increment', 'delete'] as const).map(async name => {
            const call =
              name === 'set'
                ? () => backend.set('secret-key', bytes('secret-value'))
                : () => backend[name]('secret-key')
            const error = await call().then(
              () => undefined,
              (error: unknown) => error,
            )
            if (error === undefined || isCacheError(error, 'CACHE_NOT_A_COUNTER')) return
            check(
              isCacheError(error),
              `${name} while the server ${what}: expected a CacheError, got ${describe(error)}`,
            )
            checkOutage(error, backend, name, fault)
            const shown = `${error.message} ${JSON.stringify(error)} ${describe(error.cause)}`
            check(
              !/secret-(key|value)/.test(error.message),
              `the message of ${name} gives a key or a value away: ${shown}`,
            )
            if (error.code === 'CACHE_UNAVAILABLE' || error.code === 'CACHE_TIMEOUT') {
              checkEqual(error.retryable, true, `retryable of ${error.code}`)
            }
          }),
        )
        await proxy.end()
        await works(backend, 2 * RECOVERY)
      }
    },
  },
  ...Object.entries(OUTAGES).map(
    ([what, fault]): CaseDefinition => ({
      rule: 'R33',
      title: `the same backend works again within 2 s after the server ${what}`,
      rootOnly: true,
      async run(fixture) {
        const { direct, backend, proxy } = await behindProxy(fixture)
        await direct.set('k', bytes('1'))
        for (let round = 0; round < 2; round++) {
          await proxy.set(fault)
          await Promise.all(
            Array.from({ length: 12 }, (_, index) => backend.get(index % 2 ? 'k' : 'missing').catch(() => {})),
          )
          await proxy.end()
          await works(backend, RECOVERY)
          checkEqual(await backend.get('k'), bytes('1'), 'get after the outage')
        }
      },
    }),
  ),
  {
    rule: 'R33',
    title: 'a backend that was created while the server was away works once it is there',
    rootOnly: true,
    async run(fixture) {
      const proxy = await fixture.proxy()
      await proxy.set({ kind: 'refuse' })
      const backend = await fixture.root({ timeout: TIMEOUT }, proxy)
      await Promise.all([
        backend.get('k').catch(() => {}),
        backend.open().catch(() => {}),
        backend.set('k', bytes('1')).catch(() => {}),
      ])
      await proxy.end()
      await works(backend, RECOVERY)
    },
  },
  {
    rule: 'R34',
    title: 'a late reply is given to nobody else',
    rootOnly: true,
    async run(fixture) {
      const { direct, backend, proxy } = await behindProxy(fixture)
      const keys = Array.from({ length: 12 }, (_, index) => `k${index}`)
      await direct.setMany(keys.map(key => [key, bytes(`value of ${key}`)]))
      let answers = 0
      const ask = async (key: string): Promise<void> => {
        const [kind, expected] = fixture.random.pick([
          ['get', bytes(`value of ${key}`)],
          ['getMany', [bytes(`value of ${key}`), undefined]],
          ['get of nothing', undefined],
        ] as const)
        const call = {
          get: () => backend.get(key),
          getMany: () => backend.getMany([key, 'missing']),
          'get of nothing': () => backend.get(`no ${key}`),
        }
        const answer = await call[kind]().catch(() => expected)
        answers++
        checkEqual(answer, expected, `${kind} of ${key} after earlier calls had timed out`)
      }
      for (let round = 0; round < 3; round++) {
        await proxy.set(round === 1 ? { kind: 'freeze' } : { kind: 'delay', milliseconds: TIMEOUT + 100 * round })
        await Promise.all(keys.map(ask))
        // The replies come now, while others wait for theirs.
        await proxy.end()
        for (let turn = 0; turn < 10; turn++) await Promise.all(keys.map(ask))
        await works(backend, 2 * RECOVERY)
      }
      check(answers > 300, 'too few calls')
    },
  },
  {
    rule: 'R34',
    title: 'an answer that is cut off anywhere gives no wrong value, then or later',
    rootOnly: true,
    async run(fixture) {
      const { direct, backend, proxy } = await behindProxy(fixture)
      await direct.setMany([
        ['a', bytes('value a')],
        ['b', bytes('value b')],
      ])
      for (const cut of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25, 30, 35, 37, 39, 50, 80]) {
        await proxy.set({ kind: 'cut', bytes: cut })
        const first = await backend.get('a').catch(() => bytes('value a'))
        checkEqual(first, bytes('value a'), `get of a value whose reply is cut off after ${cut} bytes`)
        await proxy.end()
        await works(backend, 2 * RECOVERY)
        checkEqual(await backend.get('b'), bytes('value b'), `get after a reply was cut off after ${cut} bytes`)
        checkEqual(
          await backend.getMany(['b', 'missing', 'a']),
          [bytes('value b'), undefined, bytes('value a')],
          'getMany after that',
        )
      }
    },
  },
  {
    rule: 'R34',
    title: 'answers that come in pieces are put together',
    rootOnly: true,
    async run(fixture) {
      const proxy = await fixture.proxy()
      const backend = await fixture.root({}, proxy)
      await backend.open()
      await proxy.set({ kind: 'slice', milliseconds: 0 })
      await backend.setMany([
        ['a', bytes('x'.repeat(300))],
        ['b', bytes('\r\nEND\r\n')],
      ])
      const [a, b, n, both] = await Promise.all([
        backend.get('a'),
        backend.get('b'),
        backend.increment('n', 42),
        backend.getMany(['a', 'missing', 'b']),
      ])
      checkEqual(a, bytes('x'.repeat(300)), 'get of a long value in pieces')
      checkEqual(b, bytes('\r\nEND\r\n'), 'get of a hostile value in pieces')
      checkEqual(n, 42, 'increment in pieces')
      checkEqual(both, [a, undefined, b], 'getMany in pieces')
    },
  },
  {
    rule: 'R34',
    title: 'concurrent calls over a network that fails again and again still have an order',
    rootOnly: true,
    async run(fixture) {
      const { direct, backend, proxy } = await behindProxy(fixture)
      const other = await fixture.root({ timeout: TIMEOUT }, proxy)
      await works(other, 10 * RECOVERY)
      const faults: Fault[] = [
        { kind: 'reset' },
        { kind: 'cut', bytes: 2 },
        { kind: 'cut', bytes: 30 },
        { kind: 'drop replies', after: 1 },
        { kind: 'reset replies', after: 2 },
        { kind: 'freeze' },
        { kind: 'delay', milliseconds: TIMEOUT + 50 },
        { kind: 'slice', milliseconds: 0 },
      ]
      let running = true
      const disturb = async (): Promise<void> => {
        while (running) {
          await sleep(fixture.random.below(60))
          await proxy.set(fixture.random.pick(faults))
          await sleep(fixture.random.below(40))
          await proxy.end()
        }
      }
      const record = async (): ReturnType<typeof recordHistory> => {
        try {
          return await recordHistory([direct, backend, other], fixture.random)
        } finally {
          running = false
        }
      }
      const [history] = await Promise.all([record(), disturb()])
      checkOrder(history, direct.supports.evicts)
    },
  },
  {
    rule: 'R35',
    title: 'a write whose reply is lost is not sent again',
    rootOnly: true,
    async run(fixture) {
      const direct = await fixture.root()
      // Where a write takes several requests, the reply that is lost may be that of any of them.
      const faults: Record<string, Fault> = { ...OUTAGES }
      for (const after of [0, 1, 2]) {
        faults[`loses its answers after ${after}`] = { kind: 'drop replies', after }
        faults[`resets connections after ${after} answers`] = { kind: 'reset replies', after }
      }
      const proves = async ([what, fault]: [string, Fault]): Promise<void> => {
        const proxy = await fixture.proxy()
        const backend = await fixture.root({ timeout: TIMEOUT }, proxy)
        await works(backend, 10 * RECOVERY)
        await proxy.set(fault)
        const first = await settled(backend.increment(what))
        const others = await Promise.all([1, 2].map(() => settled(backend.increment(what))))
        await proxy.end()
        await works(backend, 2 * RECOVERY)
        await sleep(100) // for what a driver has kept to send it again
        const value = Number(Buffer.from((await direct.get(what)) ?? bytes('0')).toString())
        const outcomes = [first, ...others]
        const least = outcomes.filter(outcome => outcome === 'applied').length
        const most = 3 - outcomes.filter(outcome => outcome === 'not-applied').length
        const subject = `three increments while the server ${what} (${outcomes.join(', ')})`
        check(value >= least && value <= most, `${subject}: expected a counter from ${least} to ${most}, got ${value}`)
        // A server has only so many connections, and other runs of the kit may want theirs.
        await backend.close()
        await proxy.close()
      }
      // Few at a time: a slow store cannot answer the calls of all of them within the short timeout.
      await inLanes(Object.entries(faults), proves, 3)
    },
  },
]

/** How a write ended, as its caller knows it. */
async function settled(write: Promise<unknown>): Promise<string> {
  try {
    await write
    return 'applied'
  } catch (error) {
    return (error as CacheError).outcome ?? describe(error)
  }
}

/** Calls until a round of calls of all kinds succeeds; fails if none does for that long. */
async function works(backend: CacheBackend, milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds
  for (;;) {
    const late = performance.now() > end
    try {
      await Promise.all([
        ...Array.from({ length: 12 }, () => backend.get('witness')),
        backend.set('witness', bytes('1')),
        backend.increment('witness count'),
        backend.getMany(['witness', 'missing']),
      ])
      return
    } catch (error) {
      if (late) fail(`calls still fail ${milliseconds} ms after the server came back: ${describe(error)}`)
      await sleep(20)
    }
  }
}

/**
 * What the call rejects with, if it does. Fails if it takes more than a fifth longer than it may: by a timer that started
 * with it, so that a machine which is busy holds both up.
 */
async function failureInTime(
  call: () => Promise<unknown>,
  subject: string,
  milliseconds: number = TIMEOUT,
): Promise<CacheError | undefined> {
  const late = sleep(milliseconds * 1.2)
    .then(() => turn())
    .then(() => turn())
    .then(() => 'late' as const)
  const settled = call().then(
    () => undefined,
    (error: unknown) => error ?? new Error('nothing'),
  )
  const first = await Promise.race([settled, late])
  if (first === 'late') fail(`${subject}: no answer within ${milliseconds} ms and a fifth`)
  if (first !== undefined && !isCacheError(first)) fail(`${subject}: expected a CacheError, got ${describe(first)}`)
  return first
}

function checkOutage(error: CacheError, backend: CacheBackend, operation: string, fault: Fault): void {
  if (error.code === 'CACHE_NOT_A_COUNTER') return // an answer, and the right one
  const subject = `of ${describe(error)} by ${operation}`
  // What answers nonsense may be something else altogether.
  const codes = fault.kind === 'garbage' ? [...OUTAGE_CODES, 'CACHE_BACKEND_FAILED'] : OUTAGE_CODES
  check(codes.includes(error.code), `code ${subject}: expected one of ${codes.join(', ')}`)
  checkEqual(error.backend, backend.name, `backend ${subject}`)
  checkEqual(error.operation, operation, `operation ${subject}`)
  const outcomes: readonly unknown[] = writes.has(operation) ? ['not-applied', 'unknown'] : [undefined]
  check(outcomes.includes(error.outcome), `outcome ${subject}: expected ${outcomes.join(' or ')}, got ${error.outcome}`)
}
