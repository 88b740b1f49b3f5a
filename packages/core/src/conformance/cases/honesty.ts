// R32, R34 and R36: errors, answers and claims that can be relied on.
import type { BackendSupports, CacheBackend, LiveEntry } from '../../backend.ts'
import { isCacheError } from '../../errors.ts'
import { collectKeys, keyedCalls, writes } from '../calls.ts'
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, checkFails, checkRejects, describe } from '../check.ts'
import { bytes } from '../sample.ts'

const SUPPORTS: Readonly<Record<keyof BackendSupports, 'number' | 'string' | 'boolean'>> = {
  maxValueBytes: 'number',
  clock: 'string',
  persistent: 'boolean',
  shared: 'boolean',
  evicts: 'boolean',
  iteration: 'boolean',
}

export const honestyCases: readonly CaseDefinition[] = [
  {
    rule: 'R32',
    title: 'errors have the shape that callers rely on, and give no secrets away',
    async run(fixture) {
      const backend = await fixture.backend()
      const secret = 'secret-value'
      await backend.set('secret-key', bytes(secret))
      await backend.set('full', bytes(String(Number.MAX_SAFE_INTEGER)))
      const longKey = `secret-key${'x'.repeat(8192)}`
      const errors = await Promise.all([
        ...Object.entries(keyedCalls).map(async ([operation, call]) => ({
          operation,
          error: await checkRejects(() => call(backend, longKey), 'CACHE_INVALID_KEY', operation),
        })),
        ...['secret-key', 'full'].map(async key => ({
          operation: 'increment',
          error: await backend.increment(key).then(
            () => undefined,
            (error: unknown) => error,
          ),
        })),
        ...['set', 'add'].map(async operation => ({
          operation,
          error: await checkRejects(
            () => backend[operation as 'set' | 'add']('secret-key', bytes(secret), { ttl: -1 }),
            'CACHE_INVALID_TTL',
            operation,
          ),
        })),
      ])
      for (const { operation, error } of errors) {
        check(isCacheError(error), `${operation}: expected a CacheError, got ${describe(error)}`)
        const subject = `of ${error.code} by ${operation}`
        checkEqual(error.name, 'CacheError', `name ${subject}`)
        checkEqual(error.backend, backend.name, `backend ${subject}`)
        checkEqual(error.operation, operation, `operation ${subject}`)
        checkEqual(error.retryable, false, `retryable ${subject}`)
        checkEqual(error.outcome, writes.has(operation) ? 'not-applied' : undefined, `outcome ${subject}`)
        check(typeof error.stack === 'string' && error.message.length > 0, `message and stack ${subject}`)
        check(
          !`${error.message}${JSON.stringify(error)}`.includes('secret'),
          `the message ${subject} holds a key or a value`,
        )
      }
    },
  },
  {
    rule: 'R34',
    title: 'no call gets the answer to another one',
    async run(fixture) {
      const clients = await fixture.clients(2)
      const [backend] = clients
      const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
      const contents = (key: string): Uint8Array => bytes(`${key}:${'x'.repeat(Number(key.slice(1)) * 97)}`)
      await backend.setMany(keys.map(key => [key, contents(key)]))
      const calls: (() => Promise<void>)[] = Array.from({ length: 600 }, (_, index) => {
        const client = clients[index % clients.length] as CacheBackend
        const key = fixture.random.pick(keys)
        const other = fixture.random.pick(keys)
        const kinds: (() => Promise<void>)[] = [
          async () => checkEqual(await client.get(key), contents(key), `get of ${key} among many calls`),
          async () =>
            checkEqual((await client.getEntry(key))?.value, contents(key), `getEntry of ${key} among many calls`),
          async () =>
            checkEqual(
              await client.getMany([other, 'missing', key]),
              [contents(other), undefined, contents(key)],
              `getMany of ${other} and ${key} among many calls`,
            ),
          async () => checkEqual(await client.get(`no ${key}`), undefined, 'get of a missing key among many calls'),
          async () => checkEqual(await client.has(key), true, 'has among many calls'),
          async () => checkEqual(await client.set(key, contents(key)), undefined, 'set among many calls'),
          async () => checkEqual(await client.add(key, bytes('no')), false, 'add among many calls'),
          async () => checkEqual(await client.delete(`no ${key}`), false, 'delete of a missing key among many calls'),
          async () => checkEqual(await client.increment(`n${index}`, index), index, 'increment among many calls'),
          async () =>
            checkEqual(
              await client.compareAndSet(key, bytes('no'), bytes('no')),
              false,
              'compareAndSet among many calls',
            ),
          async () => {
            const error = await checkRejects(
              () => client.increment(key),
              'CACHE_NOT_A_COUNTER',
              'increment among many calls',
            )
            checkEqual(error.operation, 'increment', 'operation of an error among many calls')
          },
        ]
        return fixture.random.pick(kinds)
      })
      await Promise.all(calls.map(call => call()))
    },
  },
  {
    rule: 'R36',
    title: 'supports is frozen, serialisable data that never changes',
    async run(fixture) {
      const backend = await fixture.backend()
      const { supports } = backend
      checkEqual(Object.keys(supports).sort(), Object.keys(SUPPORTS).sort(), 'fields of supports')
      for (const [field, type] of Object.entries(SUPPORTS)) {
        checkEqual(typeof supports[field as keyof BackendSupports], type, `type of supports.${field}`)
      }
      check(
        ['store', 'caller'].includes(supports.clock),
        `supports.clock: expected store or caller, got ${describe(supports.clock)}`,
      )
      const { maxValueBytes } = supports
      check(
        Number.isSafeInteger(maxValueBytes) && maxValueBytes >= 1024,
        `supports.maxValueBytes: ${maxValueBytes} is no such size`,
      )
      checkEqual(Object.isFrozen(supports), true, 'whether supports is frozen')
      const before = JSON.stringify(supports)
      const [view, later] = [backend.namespace('view'), await fixture.backend()]
      await backend.set('k', bytes('1'))
      checkEqual(JSON.stringify(backend.supports), before, 'supports after a call')
      checkEqual(JSON.stringify(view.supports), before, 'supports of a namespace')
      checkEqual(JSON.stringify(later.supports), before, 'supports of another backend')
      await backend.close()
      checkEqual(JSON.stringify(backend.supports), before, 'supports after close()')
      check(typeof backend.name === 'string' && backend.name.length > 0, 'name: expected a text')
      checkEqual(view.name, backend.name, 'name of a namespace')
    },
  },
  {
    rule: 'R36',
    title: 'keys() works where supports.iteration is true, and rejects where it is not',
    async run(fixture) {
      const backend = await fixture.backend()
      if (!backend.supports.iteration) {
        await checkRejects(
          () => collectKeys(backend),
          'CACHE_NOT_SUPPORTED',
          'keys() where supports.iteration is false',
        )
        return
      }
      checkEqual([...(await collectKeys(backend))], [], 'keys() of an empty namespace')
      const keys = Array.from({ length: 1500 }, (_, index) => `key ${index}`)
      await backend.setMany(keys.map(key => [key, bytes('1')]))
      await backend.namespace('inside').set('hidden', bytes('1'))
      await backend.deleteMany(keys.slice(0, 10))
      await backend.increment('counter')
      const found = await collectKeys(backend)
      for (const key of [...keys.slice(10), 'counter'])
        check(found.delete(key), `keys() did not answer ${describe(key)}`)
      checkEqual([...found], [], 'other keys that keys() answered')
    },
  },
  {
    rule: 'R36',
    title: 'keys() goes on while others write, and misses none that stays',
    async run(fixture) {
      const [backend, writer = backend] = await fixture.clients(2)
      if (!backend.supports.iteration) return fixture.declines()
      const stays = Array.from({ length: 300 }, (_, index) => `stays ${index}`)
      await backend.setMany(stays.map(key => [key, bytes('1')]))
      const found = new Set<string>()
      let turn = 0
      for await (const key of backend.keys()) {
        found.add(key)
        if (turn % 20 === 0) await writer.set(`new ${turn}`, bytes('1'))
        if (turn % 30 === 0) await writer.delete(`new ${turn - 20}`)
        turn++
        check(turn < 10_000, 'keys() does not end while others write')
      }
      for (const key of stays) check(found.has(key), `keys() missed ${describe(key)}, which was there all the time`)
    },
  },
  {
    rule: 'R36',
    title: 'supports.clock is the clock that decides',
    rootOnly: true,
    async run(fixture) {
      const backend = await fixture.root()
      const { clock } = backend.supports
      const later = await fixture.root({ now: () => Date.now() + 1e9 })
      const writer = backend.supports.shared ? backend : later
      if (clock === 'store') {
        await later.set('k', bytes('1'), { ttl: 5000 })
        for (const [who, reader] of Object.entries(
          backend.supports.shared ? { itself: later, another: backend } : { itself: later },
        )) {
          checkEqual(await reader.get('k'), bytes('1'), `get of what a caller with a wrong clock set, by ${who}`)
          const left = (await reader.getEntry('k'))?.ttl ?? 0
          check(
            left > 0 && left <= 5002,
            `ttl of what a caller with a wrong clock set: expected at most 5000, got ${left}`,
          )
        }
        await backend.set('k', bytes('2'), { ttl: 1e6 })
        checkEqual(await later.has('k'), true, 'has by a caller whose clock is ahead')
        return
      }
      await writer.set('k', bytes('1'), { ttl: 5000 })
      if (backend.supports.shared) {
        checkEqual(await later.get('k'), undefined, 'get by a caller whose clock is past the deadline')
        checkEqual(await later.has('k'), false, 'has by a caller whose clock is past the deadline')
      } else {
        const { during } = await fixture.clock.measure(() => backend.set('k', bytes('1'), { ttl: 5000 }))
        await fixture.clock.passTo(during.end + 5000)
        checkEqual(await backend.get('k'), undefined, 'get after the caller moved its clock')
      }
    },
  },
  {
    rule: 'R36',
    title: 'other backends on the store see what supports.shared promises',
    async run(fixture) {
      const [one, two] = [await fixture.backend(), await fixture.backend()]
      await one.set('k', bytes('1'))
      if (one.supports.shared) checkEqual(await two.get('k'), bytes('1'), 'get by another backend on the store')
      if (!one.supports.shared) return
      await two.set('k', bytes('2'))
      checkEqual(await one.get('k'), bytes('2'), 'get after another backend on the store set')
    },
  },
  {
    rule: 'R36',
    title: 'live is a synchronous view of the same entries',
    async run(fixture) {
      const backend = await fixture.backend()
      const { live } = backend
      if (live === undefined) return fixture.declines()
      const entry = (text: string, expiresAt?: number): LiveEntry => ({
        value: { text },
        expiresAt,
        size: text.length,
        encode: () => bytes(text),
      })
      const seen = (key: string): Uint8Array | undefined => {
        const found = live.get(key)
        return found && ('encode' in found ? found.encode() : found.value)
      }
      check(['clone', 'share'].includes(live.isolation), `live.isolation: got ${describe(live.isolation)}`)
      checkEqual(seen('k'), undefined, 'live.get of a missing key')
      await backend.set('k', bytes('set'))
      checkEqual(seen('k'), bytes('set'), 'live.get of what set has stored')
      live.set('k', entry('live'))
      checkEqual(await backend.get('k'), bytes('live'), 'get of what live.set has stored')
      checkEqual(await backend.add('k', bytes('no')), false, 'add after live.set')
      checkEqual(
        await backend.compareAndSet('k', bytes('live'), bytes('swapped')),
        true,
        'compareAndSet after live.set',
      )
      checkEqual(seen('k'), bytes('swapped'), 'live.get after compareAndSet')

      const stored = live.get('k')
      checkEqual(live.swap('k', undefined, entry('no')), false, 'live.swap expecting nothing where there is an entry')
      checkEqual(live.swap('k', stored, entry('next')), true, 'live.swap expecting what live.get answered')
      checkEqual(live.swap('k', stored, entry('no')), false, 'live.swap expecting what is no longer there')
      checkEqual(await backend.get('k'), bytes('next'), 'get after live.swap')
      checkEqual(live.swap('k', live.get('k'), undefined), true, 'live.swap to remove')
      checkEqual(await backend.has('k'), false, 'has after live.swap to remove')
      checkEqual(live.swap('k', undefined, entry('first')), true, 'live.swap expecting nothing where there is nothing')

      live.set('short', entry('short', live.now() + 1000))
      await backend.set('short too', bytes('short'), { ttl: 1000 })
      checkEqual([seen('short'), seen('short too')], [bytes('short'), bytes('short')], 'live.get before the deadline')
      await fixture.clock.pass(1000)
      checkEqual([seen('short'), seen('short too')], [undefined, undefined], 'live.get at the deadline')
      checkEqual(await backend.get('short'), undefined, 'get at the deadline of what live.set has stored')
      checkEqual(
        live.swap('short', undefined, entry('again')),
        true,
        'live.swap expecting nothing where an entry has expired',
      )

      const inner = backend.namespace('inner')
      inner.live?.set('k', entry('inner'))
      checkEqual([await inner.get('k'), seen('k')], [bytes('inner'), bytes('first')], 'live views of two namespaces')
      await backend.clear()
      checkEqual(seen('k'), undefined, 'live.get after clear()')
      await backend.close()
      await checkFails(async () => live.get('k'), 'CACHE_CLOSED', 'live.get after close()')
    },
  },
  {
    rule: 'R36',
    title: 'a store that is not full loses nothing',
    async run(fixture) {
      const backend = await fixture.backend()
      const keys = Array.from({ length: 800 }, (_, index) => `k${index}`)
      for (let start = 0; start < keys.length; start += 100) {
        await backend.setMany(
          keys.slice(start, start + 100).map((key, index) => [key, bytes(key), { ttl: index % 2 ? 1e9 : undefined }]),
        )
      }
      const values = await backend.getMany(keys)
      for (const [index, key] of keys.entries())
        checkEqual(values[index], bytes(key), `getMany of ${key}, one of 800 entries`)
    },
  },
]
