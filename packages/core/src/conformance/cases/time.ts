// R13 to R17: ttls and deadlines.
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheBackend } from '../../backend.ts'
import { collectKeys } from '../calls.ts'
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, checkRejects, describe } from '../check.ts'
import type { Interval } from '../clock.ts'
import { hostileTtls, invalidTtls } from '../corpora.ts'
import type { Fixture } from '../fixture.ts'
import { inLanes } from '../lanes.ts'
import { bytes } from '../sample.ts'

type Options = { readonly ttl: number }

/** Every way to give the key, which has the value `1` and no deadline, a deadline. */
const EXPIRING: Readonly<Record<string, (backend: CacheBackend, key: string, options: Options) => Promise<unknown>>> = {
  set: (backend, key, options) => backend.set(key, bytes('1'), options),
  setMany: (backend, key, options) => backend.setMany([[key, bytes('1')]], options),
  'setMany with options of the entry': (backend, key, options) => backend.setMany([[key, bytes('1'), options]]),
  add: async (backend, key, options) => {
    await backend.delete(key)
    checkEqual(await backend.add(key, bytes('1'), options), true, 'add of a missing key')
  },
  compareAndSet: async (backend, key, options) => {
    checkEqual(await backend.compareAndSet(key, bytes('1'), bytes('1'), options), true, 'compareAndSet')
  },
  increment: async (backend, key, options) => {
    await backend.delete(key)
    checkEqual(await backend.increment(key, 1, options), 1, 'increment of a missing key')
  },
  touch: async (backend, key, options) => {
    checkEqual(await backend.touch(key, options), true, 'touch')
  },
}

/** Every way to see that an entry is there. None of them changes it. */
const SEEING: Readonly<Record<string, (backend: CacheBackend, key: string) => Promise<boolean>>> = {
  get: async (backend, key) => (await backend.get(key)) !== undefined,
  getEntry: async (backend, key) => (await backend.getEntry(key)) !== undefined,
  getMany: async (backend, key) => (await backend.getMany(['missing', key]))[1] !== undefined,
  has: (backend, key) => backend.has(key),
}

/** Every way to use an entry that has expired, and what is to come of it. */
const USING_EXPIRED: Readonly<Record<string, (backend: CacheBackend, key: string) => Promise<void>>> = {
  get: async (backend, key) => checkEqual(await backend.get(key), undefined, 'get'),
  getEntry: async (backend, key) => checkEqual(await backend.getEntry(key), undefined, 'getEntry'),
  getMany: async (backend, key) => checkEqual(await backend.getMany([key, key]), [undefined, undefined], 'getMany'),
  has: async (backend, key) => checkEqual(await backend.has(key), false, 'has'),
  delete: async (backend, key) => checkEqual(await backend.delete(key), false, 'delete'),
  touch: async (backend, key) => {
    checkEqual(await backend.touch(key, { ttl: 1e6 }), false, 'touch')
    checkEqual(await backend.touch(key, { ttl: undefined }), false, 'touch without ttl')
    checkEqual(await backend.get(key), undefined, 'get after touch')
  },
  compareAndSet: async (backend, key) => {
    checkEqual(await backend.compareAndSet(key, bytes('1'), bytes('2')), false, 'compareAndSet')
    checkEqual(await backend.get(key), undefined, 'get after compareAndSet')
  },
  compareAndDelete: async (backend, key) => {
    checkEqual(await backend.compareAndDelete(key, bytes('1')), false, 'compareAndDelete')
  },
  add: async (backend, key) => {
    checkEqual(await backend.add(key, bytes('new')), true, 'add')
    checkEqual((await backend.getEntry(key))?.value, bytes('new'), 'getEntry after add')
    checkEqual((await backend.getEntry(key))?.ttl, undefined, 'ttl after add without one')
  },
  'add with a ttl': async (backend, key) => {
    checkEqual(await backend.add(key, bytes('new'), { ttl: 1e6 }), true, 'add with a ttl')
    checkTtl((await backend.getEntry(key))?.ttl, 1e6, 'ttl after add with one')
  },
  increment: async (backend, key) => {
    checkEqual(await backend.increment(key, 5), 5, 'increment')
    checkEqual((await backend.getEntry(key))?.ttl, undefined, 'ttl after increment without one')
    checkEqual(await backend.get(key), bytes('5'), 'get after increment')
  },
  'increment with a ttl': async (backend, key) => {
    checkEqual(await backend.increment(key, 5, { ttl: 1e6 }), 5, 'increment with a ttl')
    checkTtl((await backend.getEntry(key))?.ttl, 1e6, 'ttl after increment with one')
  },
  set: async (backend, key) => {
    await backend.set(key, bytes('new'))
    checkEqual((await backend.getEntry(key))?.ttl, undefined, 'ttl after set without one')
    checkEqual(await backend.get(key), bytes('new'), 'get after set')
  },
  deleteMany: async (backend, key) => {
    await backend.deleteMany([key])
    checkEqual(await backend.get(key), undefined, 'get after deleteMany')
  },
  'add after deleteMany': async (backend, key) => {
    await backend.deleteMany([key])
    checkEqual(await backend.add(key, bytes('new')), true, 'add after deleteMany')
    checkEqual(await backend.get(key), bytes('new'), 'get after add')
  },
}

/** A ttl long enough to be seen before it ends, and short enough to wait for where time cannot be moved. */
function shortTtl(fixture: Fixture): number {
  return fixture.clock.isFrozen ? 60_000 : 40
}

export const timeCases: readonly CaseDefinition[] = [
  {
    rule: 'R13',
    title: 'what is no ttl is refused by every method, and nothing is stored or lost',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('1'), { ttl: 1e6 })
      await backend.set('n', bytes('1'))
      for (const invalid of invalidTtls) {
        const options = { ttl: invalid as number }
        const fresh = { ttl: 1000 }
        const calls: Record<string, () => Promise<unknown>> = {
          set: () => backend.set('k', bytes('2'), options),
          'set of a new key': () => backend.set('new', bytes('2'), options),
          setMany: () =>
            backend.setMany(
              [
                ['new', bytes('2')],
                ['k', bytes('2')],
              ],
              options,
            ),
          'setMany with options of an entry': () =>
            backend.setMany(
              [
                ['new', bytes('2')],
                ['k', bytes('2'), options],
              ],
              fresh,
            ),
          add: () => backend.add('new', bytes('2'), options),
          'add of a key that is there': () => backend.add('k', bytes('2'), options),
          compareAndSet: () => backend.compareAndSet('k', bytes('1'), bytes('2'), options),
          increment: () => backend.increment('new', 1, options),
          'increment of a key that is there': () => backend.increment('n', 1, options),
          touch: () => backend.touch('k', options),
        }
        for (const [name, call] of Object.entries(calls)) {
          const subject = `${name} with the ttl ${describe(invalid)}`
          const error = await checkRejects(call, 'CACHE_INVALID_TTL', subject)
          checkEqual(error.outcome, 'not-applied', `outcome of ${subject}`)
        }
      }
      checkEqual(
        await backend.getMany(['k', 'n', 'new']),
        [bytes('1'), bytes('1'), undefined],
        'getMany after the refusals',
      )
      check((await backend.getEntry('k'))?.ttl !== undefined, 'the entry lost its deadline to a refused call')
      checkEqual((await backend.getEntry('n'))?.ttl, undefined, 'ttl of the other entry')
    },
  },
  {
    rule: 'R13',
    title: 'options that are none are refused',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('1'))
      for (const invalid of [null, 1000, '1s', true]) {
        const options = invalid as unknown as Options
        const subject = `with ${describe(invalid)} as options`
        await checkRejects(() => backend.set('k', bytes('2'), options), 'CACHE_INVALID_ARGUMENT', `set ${subject}`)
        await checkRejects(() => backend.add('new', bytes('2'), options), 'CACHE_INVALID_ARGUMENT', `add ${subject}`)
        await checkRejects(() => backend.touch('k', options), 'CACHE_INVALID_ARGUMENT', `touch ${subject}`)
        await checkRejects(() => backend.increment('new', 1, options), 'CACHE_INVALID_ARGUMENT', `increment ${subject}`)
      }
      const call = (): Promise<unknown> => backend.touch('k', undefined as unknown as Options)
      await checkRejects(call, 'CACHE_INVALID_ARGUMENT', 'touch without a ttl')
      await checkRejects(() => backend.touch('k', {} as Options), 'CACHE_INVALID_ARGUMENT', 'touch with {}')
      checkEqual(await backend.getMany(['k', 'new']), [bytes('1'), undefined], 'getMany after the refusals')
    },
  },
  {
    rule: 'R13',
    title: 'a fraction of a millisecond is rounded up',
    async run(fixture) {
      const backend = await fixture.backend()
      await inLanes(Object.entries(EXPIRING), async ([name, expire]) => {
        for (const [ttl, whole] of [
          [0.001, 1],
          [0.4, 1],
          [1.5, 2],
          [1000.2, 1001],
          [1e6 - 0.5, 1e6],
        ] as const) {
          await backend.set(name, bytes('1'))
          await expire(backend, name, { ttl })
          if (fixture.clock.isFrozen) {
            checkEqual((await backend.getEntry(name))?.ttl, whole, `ttl after ${name} with a ttl of ${ttl}`)
          } else if (whole > 1000) {
            checkTtl((await backend.getEntry(name))?.ttl, whole, `ttl after ${name} with a ttl of ${ttl}`)
          }
        }
      })
    },
  },
  {
    rule: 'R13',
    title: 'without a ttl an entry does not expire',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('set', bytes('1'))
      await backend.set('undefined', bytes('1'), { ttl: undefined })
      await backend.set('empty', bytes('1'), {})
      await backend.setMany([['setMany', bytes('1')]])
      await backend.add('add', bytes('1'))
      await backend.increment('increment')
      await backend.set('touch', bytes('1'), { ttl: 60_000 })
      checkEqual(await backend.touch('touch', { ttl: undefined }), true, 'touch with { ttl: undefined }')
      const keys = ['set', 'undefined', 'empty', 'setMany', 'add', 'increment', 'touch']
      for (const key of keys) checkEqual((await backend.getEntry(key))?.ttl, undefined, `ttl of an entry by ${key}`)
      await fixture.clock.pass(fixture.clock.isFrozen ? 100 * 365 * 24 * 3_600_000 : 60)
      for (const key of keys) checkEqual(await backend.get(key), bytes('1'), `get of an entry by ${key}, later`)
    },
  },
  {
    rule: 'R14',
    title: 'an entry is visible until its deadline and never after it, however it got it and is read',
    async run(fixture) {
      const backend = await fixture.backend()
      const ttl = shortTtl(fixture)
      const written = new Map<string, Interval>()
      for (const [name, expire] of Object.entries(EXPIRING)) {
        await backend.set(name, bytes('1'))
        written.set(name, (await fixture.clock.measure(() => expire(backend, name, { ttl }))).during)
      }
      await seesUntilDeadline(fixture, backend, written, ttl)
    },
  },
  {
    rule: 'R14',
    title: 'deadlines are kept to the millisecond of the clock that decides',
    async run(fixture) {
      const backend = await fixture.backend()
      const ttls = fixture.clock.isFrozen ? [1, 2, 3, 10, 999, 1000, 1001, 1999, 2000, 60_001] : [8, 15, 30]
      for (const ttl of ttls) {
        const written = new Map<string, Interval>()
        for (const name of ['one', 'two']) {
          written.set(name, (await fixture.clock.measure(() => backend.set(name, bytes('1'), { ttl }))).during)
        }
        await seesUntilDeadline(fixture, backend, written, ttl)
      }
    },
  },
  {
    rule: 'R14',
    title: 'the store deletes nothing early, also if it counts in seconds',
    rootOnly: true,
    async run(fixture) {
      const backend = await fixture.backend({ now: undefined }) // a real clock: the store's own ttl is at stake
      const keys = Array.from({ length: 8 }, (_, index) => `k${index}`)
      const written: Interval[] = []
      const ttl = 1100
      const slack = 3
      const measure = async <T>(call: () => Promise<T>): Promise<{ answer: T; during: Interval }> => {
        const start = Date.now()
        const answer = await call()
        return { answer, during: { start, end: Date.now() } }
      }
      for (const key of keys) {
        written.push((await measure(() => backend.set(key, bytes('1'), { ttl }))).during)
        await sleep(10)
      }
      for (let left = keys.length; left > 0; ) {
        await sleep(20)
        left = 0
        for (const [index, key] of keys.entries()) {
          const { start, end } = written[index] as Interval
          const { answer, during } = await measure(() => backend.has(key))
          if (during.end < start + ttl - slack) {
            check(answer, `has: gone after at most ${during.end - start} ms of its ttl of ${ttl}`)
            left++
          } else if (during.start > end + ttl + slack) {
            check(!answer, `has: still there ${during.start - end} ms after set, with a ttl of ${ttl}`)
          }
        }
      }
    },
  },
  {
    rule: 'R14',
    title: 'getEntry() tells the time that is left',
    async run(fixture) {
      const backend = await fixture.backend()
      await inLanes(Object.entries(EXPIRING), async ([name, expire]) => {
        for (const ttl of [60_000, 1000, 3_600_000, 60_001]) {
          await backend.set(name, bytes('1'))
          const written = await fixture.clock.measure(() => expire(backend, name, { ttl }))
          const read = await fixture.clock.measure(() => backend.getEntry(name))
          const left = read.answer?.ttl
          const subject = `ttl of getEntry after ${name} with ${ttl} ms`
          check(typeof left === 'number', `${subject}: expected a number, got ${describe(left)}`)
          const { slack } = fixture.clock
          const most = ttl - (read.during.start - written.during.end) + slack
          const least = ttl - (read.during.end - written.during.start) - slack
          check(left <= most && left >= least, `${subject}: expected ${least} to ${most}, got ${left}`)
        }
      })
      if (!fixture.clock.isFrozen) return
      await backend.set('k', bytes('1'), { ttl: 1000 })
      for (const left of [999, 500, 2, 1]) {
        await fixture.clock.passTo(fixture.clock.time() + ((await backend.getEntry('k'))?.ttl ?? 0) - left)
        checkEqual((await backend.getEntry('k'))?.ttl, left, 'ttl of getEntry, later')
      }
      checkEqual(Object.keys((await backend.getEntry('k')) ?? {}).sort(), ['ttl', 'value'], 'fields of getEntry')
    },
  },
  {
    rule: 'R14',
    title: 'reading does not lengthen a life',
    async run(fixture) {
      const backend = await fixture.backend()
      const ttl = shortTtl(fixture)
      const { during } = await fixture.clock.measure(() => backend.set('k', bytes('1'), { ttl }))
      for (let step = 1; step < 4; step++) {
        await fixture.clock.passTo(during.start + (ttl * step) / 4)
        for (const sees of Object.values(SEEING)) await sees(backend, 'k')
      }
      await fixture.clock.passTo(during.end + ttl + fixture.clock.slack)
      checkEqual(await backend.get('k'), undefined, 'get after the deadline of an entry that was often read')
    },
  },
  {
    rule: 'R14',
    title: 'touch() shortens, lengthens and ends a deadline, and leaves the value',
    async run(fixture) {
      const backend = await fixture.backend()
      checkEqual(await backend.touch('missing', { ttl: 1000 }), false, 'touch of a missing key')
      checkEqual(await backend.has('missing'), false, 'has after touch of a missing key')
      await fixture.inTime(shortTtl(fixture), async ttl => {
        const { clock } = fixture
        const set = await clock.measure(() =>
          backend.setMany(['longer', 'for ever'].map(key => [key, bytes('1'), { ttl }])),
        )
        const touched = await clock.measure(() =>
          Promise.all([backend.touch('longer', { ttl: 1e6 }), backend.touch('for ever', { ttl: undefined })]),
        )
        if (clock.isVisible(set.during, ttl, touched.during) !== true) return false
        checkEqual(touched.answer, [true, true], 'touch to lengthen and to end a deadline')
        checkEqual((await backend.getEntry('for ever'))?.ttl, undefined, 'ttl after touch with undefined')
        await backend.set('shorter', bytes('1'), { ttl: 1e6 })
        await backend.set('permanent', bytes('1'))
        const { during } = await clock.measure(async () => {
          checkEqual(await backend.touch('shorter', { ttl }), true, 'touch to shorten')
          checkEqual(await backend.touch('permanent', { ttl }), true, 'touch of an entry without deadline')
        })
        await clock.passTo(during.end + ttl + clock.slack)
        checkEqual(
          await backend.getMany(['longer', 'for ever', 'shorter', 'permanent']),
          [bytes('1'), bytes('1'), undefined, undefined],
          'getMany after touch, at the deadline',
        )
        return true
      })
    },
  },
  {
    rule: 'R14',
    title: 'keys() leaves out what has expired',
    async run(fixture) {
      const backend = await fixture.backend()
      if (!backend.supports.iteration) return fixture.declines()
      const ttl = shortTtl(fixture)
      await backend.set('stays', bytes('1'))
      await backend.set('stays long', bytes('1'), { ttl: 1e9 })
      for (let index = 0; index < 10; index++) await backend.set(`goes ${index}`, bytes('1'), { ttl })
      await fixture.clock.pass(ttl)
      checkEqual(
        [...(await collectKeys(backend))].sort(),
        ['stays', 'stays long'],
        'keys() after the deadline of others',
      )
    },
  },
  {
    rule: 'R15',
    title: 'ttls from 1 ms to 10 years work',
    async run(fixture) {
      const backend = await fixture.backend()
      await inLanes(Object.entries(EXPIRING), async ([name, expire]) => {
        for (const ttl of hostileTtls) {
          const key = `${name} ${ttl}`
          if (name === 'compareAndSet' || name === 'touch') await backend.set(key, bytes('1'))
          await expire(backend, key, { ttl })
          if (ttl < 5000 && !fixture.clock.isFrozen) continue
          const entry = await backend.getEntry(key)
          checkEqual(entry?.value, bytes('1'), `getEntry after ${name} with a ttl of ${ttl}`)
          checkTtl(entry?.ttl, ttl, `ttl after ${name} with a ttl of ${ttl}`)
        }
        const keys = hostileTtls.filter(ttl => ttl > 5000)
        const values = await backend.getMany(keys.map(ttl => `${name} ${ttl}`))
        for (const [index, ttl] of keys.entries())
          checkEqual(values[index], bytes('1'), `getMany after ${name}, ttl ${ttl}`)
      })
      if (!fixture.clock.isFrozen) return
      for (const ttl of hostileTtls) {
        const set = await fixture.clock.measure(() => backend.set('k', bytes('1'), { ttl }))
        await fixture.clock.passTo(set.during.end + ttl - 1)
        checkEqual(await backend.get('k'), bytes('1'), `get 1 ms before the end of a ttl of ${ttl}`)
        await fixture.clock.passTo(set.during.end + ttl)
        checkEqual(await backend.get('k'), undefined, `get at the end of a ttl of ${ttl}`)
      }
    },
  },
  {
    rule: 'R15',
    title: 'a ttl too long for any calendar still means a long time',
    async run(fixture) {
      const backend = await fixture.backend()
      await inLanes(Object.entries(EXPIRING), async ([name, expire]) => {
        for (const ttl of [Number.MAX_SAFE_INTEGER, Number.MAX_VALUE, 1e21, 2 ** 53, 253_402_300_799_999]) {
          await backend.set(name, bytes('1'))
          await expire(backend, name, { ttl })
          const entry = await backend.getEntry(name)
          checkEqual(entry?.value, bytes('1'), `getEntry after ${name} with a ttl of ${ttl}`)
          const left = entry?.ttl ?? Number.POSITIVE_INFINITY
          check(
            left > 10 * 365 * 24 * 3_600_000,
            `ttl after ${name} with ${ttl}: expected more than 10 years, got ${left}`,
          )
        }
      })
    },
  },
  {
    rule: 'R16',
    title: 'an expired entry counts as absent to every method, also while it is still stored',
    async run(fixture) {
      const backend = await fixture.backend()
      const ttl = shortTtl(fixture)
      const names = Object.keys(USING_EXPIRED)
      await backend.setMany(
        names.map(name => [name, bytes('1')]),
        { ttl },
      )
      await backend.setMany(
        names.map(name => [`${name} at the deadline`, bytes('1')]),
        { ttl: ttl / 2 },
      )
      await fixture.clock.pass(ttl)
      await Promise.all(
        Object.entries(USING_EXPIRED).map(async ([name, use]) => {
          await use(backend, name)
          await use(backend, `${name} at the deadline`)
        }),
      )
      if (!fixture.clock.isFrozen) return
      await backend.set('edge', bytes('1'), { ttl: 5 })
      await fixture.clock.pass(5)
      for (const [name, sees] of Object.entries(SEEING)) {
        checkEqual(await sees(backend, 'edge'), false, `${name}, exactly at the deadline`)
      }
      checkEqual(await backend.add('edge', bytes('2')), true, 'add, exactly at the deadline')
    },
  },
  {
    rule: 'R16',
    title: 'a life that begins after an expired one has nothing of it',
    async run(fixture) {
      const backend = await fixture.backend()
      const ttl = shortTtl(fixture)
      await backend.setMany(
        ['added', 'counted', 'set'].map(key => [key, bytes('1')]),
        { ttl },
      )
      await fixture.clock.pass(ttl)
      const fresh = { ttl: 3 * ttl }
      const { during } = await fixture.clock.measure(async () => {
        await backend.add('added', bytes('10'), fresh)
        await backend.increment('counted', 10, fresh)
        await backend.set('set', bytes('10'), fresh)
      })
      const keys = ['added', 'counted', 'set']
      const before = await fixture.clock.measure(() => backend.getMany(keys))
      if (fixture.clock.isVisible(during, fresh.ttl, before.during) === true) {
        checkEqual(before.answer, [bytes('10'), bytes('10'), bytes('10')], 'getMany in the second life')
      }
      await fixture.clock.passTo(during.end + fresh.ttl + fixture.clock.slack)
      checkEqual(await backend.getMany(keys), [undefined, undefined, undefined], 'getMany after the second life')
    },
  },
  {
    rule: 'R17',
    title: 'whoever meets an expired entry never removes one that was just written',
    async run(fixture) {
      const clients = await fixture.clients(4)
      const [backend] = clients
      const writes: Readonly<Record<string, (key: string) => Promise<unknown>>> = {
        set: key => backend.set(key, bytes('fresh')),
        setMany: key => backend.setMany([[key, bytes('fresh')]]),
        add: key => backend.add(key, bytes('fresh')),
      }
      for (let round = 0; round < 12; round++) {
        const keys = Object.keys(writes).flatMap(name => Array.from({ length: 8 }, (_, index) => `${name} ${index}`))
        await backend.setMany(
          keys.map(key => [key, bytes('old')]),
          { ttl: 5 },
        )
        await fixture.clock.pass(5)
        await Promise.all(
          keys.map(async (key, index) => {
            const write = writes[key.split(' ')[0] ?? ''] as (key: string) => Promise<unknown>
            const client = clients[index % clients.length] as CacheBackend
            const before = [client.get(key), client.has(key), client.getMany([key]), client.getEntry(key)]
            for (let turn = fixture.random.below(4); turn > 0; turn--) await null
            const writing = write(key)
            const after = [client.touch(key, { ttl: 1e6 }), client.compareAndDelete(key, bytes('old')), client.get(key)]
            await Promise.all([...before, writing, ...after])
            checkEqual(
              await backend.get(key),
              bytes('fresh'),
              `get after ${key.split(' ')[0]}, while others met the expired entry`,
            )
          }),
        )
      }
    },
  },
  {
    rule: 'R17',
    title: 'a delete that found nothing has removed nothing',
    async run(fixture) {
      const [backend, other = backend] = await fixture.clients(2)
      for (let round = 0; round < 10; round++) {
        const keys = Array.from({ length: 16 }, (_, index) => `k${index}`)
        await backend.setMany(
          keys.map(key => [key, bytes('old')]),
          { ttl: 5 },
        )
        await fixture.clock.pass(5)
        await Promise.all(
          keys.map(async key => {
            const deleting = other.delete(key)
            for (let turn = fixture.random.below(4); turn > 0; turn--) await null
            const [deleted] = await Promise.all([deleting, backend.set(key, bytes('fresh'))])
            const expected = deleted ? undefined : bytes('fresh')
            checkEqual(await backend.get(key), expected, `get after a set and a delete that answered ${deleted}`)
          }),
        )
      }
    },
  },
]

/** All ways to see the entries agree, at several moments of their lives, with what their deadlines allow. */
async function seesUntilDeadline(
  fixture: Fixture,
  backend: CacheBackend,
  written: Map<string, Interval>,
  ttl: number,
): Promise<void> {
  const { clock } = fixture
  const last = Math.max(...[...written.values()].map(({ end }) => end))
  const moments = clock.isFrozen ? [0, ttl - 1, ttl, ttl + 1] : [0, ttl / 2, ttl + clock.slack]
  for (const moment of moments) {
    await clock.passTo(last + moment)
    await Promise.all(
      [...written].flatMap(([name, during]) =>
        Object.entries(SEEING).map(async ([way, sees]) => {
          const read = await clock.measure(() => sees(backend, name))
          const visible = clock.isVisible(during, ttl, read.during)
          if (visible === 'either') return
          const subject = `whether ${way} sees an entry, ${moment} ms after ${name} with a ttl of ${ttl}`
          checkEqual(read.answer, visible, subject)
        }),
      ),
    )
    if (moment >= ttl) continue
    for (const [name, during] of written) {
      const added = await clock.measure(() => backend.add(name, bytes('2'), { ttl: 1 }))
      const visible = clock.isVisible(during, ttl, added.during)
      if (visible === true) checkEqual(added.answer, false, `add, ${moment} ms after ${name} with a ttl of ${ttl}`)
      else written.delete(name) // what is there now may be what was added
    }
  }
}

/** The time left is the ttl, less what a slow call may have taken. */
function checkTtl(left: number | undefined, ttl: number, subject: string): void {
  const close = left !== undefined && left <= ttl + 2 && left >= Math.min(ttl - 5000, ttl * 0.999)
  check(close, `${subject}: expected about ${ttl}, got ${left}`)
}
