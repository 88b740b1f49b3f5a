// R19 to R22: what is done in one step.
import type { CacheBackend } from '../../backend.ts'
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, checkRejects, describe } from '../check.ts'
import { invalidCounters } from '../corpora.ts'
import { inLanes } from '../lanes.ts'
import { bytes, pattern } from '../sample.ts'

const MAX = Number.MAX_SAFE_INTEGER

export const atomicityCases: readonly CaseDefinition[] = [
  {
    rule: 'R19',
    title: 'add() stores only where there is nothing',
    async run(fixture) {
      const backend = await fixture.backend()
      checkEqual(await backend.add('k', bytes('1')), true, 'add of a missing key')
      checkEqual(await backend.add('k', bytes('2')), false, 'add of a key that is there')
      checkEqual(await backend.add('k', bytes('1'), { ttl: 1000 }), false, 'add of the same value with a ttl')
      checkEqual(await backend.get('k'), bytes('1'), 'get after a failed add')
      checkEqual((await backend.getEntry('k'))?.ttl, undefined, 'ttl after a failed add with one')
      await backend.delete('k')
      checkEqual(await backend.add('k', bytes('3')), true, 'add after delete')
      checkEqual(await backend.get('k'), bytes('3'), 'get after add')
    },
  },
  {
    rule: 'R19',
    title: 'of any number of concurrent add() exactly one is true, and its value stays',
    async run(fixture) {
      const clients = await fixture.clients(4)
      const [backend] = clients
      const contest = async (key: string): Promise<void> => {
        const won = await Promise.all(
          Array.from({ length: 24 }, (_, index) => from(clients, index).add(key, bytes(`by ${index}`), { ttl: 1e6 })),
        )
        const winners = won.flatMap((yes, index) => (yes ? [index] : []))
        checkEqual(winners.length, 1, `how many of 24 concurrent add() of ${key} were true`)
        checkEqual(await backend.get(key), bytes(`by ${winners[0]}`), `get of ${key} after concurrent add()`)
      }
      for (let round = 0; round < 4; round++) {
        await Promise.all([1, 2, 3].map(index => contest(`missing ${round} ${index}`)))
        await backend.set(`deleted ${round}`, bytes('old'))
        await backend.delete(`deleted ${round}`)
        await backend.set(`expired ${round}`, bytes('old'), { ttl: 5 })
        await fixture.clock.pass(5)
        await Promise.all([contest(`deleted ${round}`), contest(`expired ${round}`)])
      }
    },
  },
  {
    rule: 'R20',
    title: 'compareAndSet() and compareAndDelete() act on equal bytes only',
    async run(fixture) {
      const backend = await fixture.backend()
      checkEqual(await backend.compareAndSet('k', bytes(''), bytes('1')), false, 'compareAndSet of a missing key')
      checkEqual(await backend.compareAndDelete('k', bytes('')), false, 'compareAndDelete of a missing key')
      checkEqual(await backend.get('k'), undefined, 'get after both')
      const stored = [
        '',
        'a',
        'abc',
        '10',
        'null',
        '\0',
        'é',
        pattern(1024),
        pattern(1025),
        pattern(5000),
        pattern(100_000),
      ]
      const values = stored.map(value => (typeof value === 'string' ? bytes(value) : value))
      await inLanes(values, async (value, index) => {
        if (value.byteLength > backend.supports.maxValueBytes) return
        const key = `k${index}`
        await backend.set(key, value)
        for (const other of unequal(value)) {
          const subject = `expecting ${describe(other)} where ${describe(value)} is`
          checkEqual(await backend.compareAndSet(key, other, bytes('wrong')), false, `compareAndSet ${subject}`)
          checkEqual(await backend.compareAndDelete(key, other), false, `compareAndDelete ${subject}`)
        }
        checkEqual(await backend.get(key), value, 'get after comparisons that failed')
        checkEqual(await backend.compareAndSet(key, value, value), true, 'compareAndSet of the same value')
        checkEqual(await backend.compareAndSet(key, value, bytes('next')), true, 'compareAndSet')
        checkEqual(await backend.get(key), bytes('next'), 'get after compareAndSet')
        checkEqual(await backend.compareAndSet(key, bytes('next'), value), true, 'compareAndSet back')
        checkEqual(await backend.compareAndDelete(key, value), true, 'compareAndDelete')
        checkEqual(await backend.get(key), undefined, 'get after compareAndDelete')
        checkEqual(await backend.compareAndDelete(key, value), false, 'a second compareAndDelete')
      })
    },
  },
  {
    rule: 'R20',
    title: 'a comparison that fails changes neither value nor deadline; one that succeeds sets both',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('1'), { ttl: 1e6 })
      checkEqual(await backend.compareAndSet('k', bytes('2'), bytes('3'), { ttl: 5e6 }), false, 'compareAndSet')
      checkEqual(await backend.compareAndSet('k', bytes('2'), bytes('3')), false, 'compareAndSet without ttl')
      const kept = (await backend.getEntry('k'))?.ttl ?? 0
      check(kept > 0 && kept <= 1e6 + 2, `ttl after comparisons that failed: expected at most 1000000, got ${kept}`)
      checkEqual(await backend.compareAndSet('k', bytes('1'), bytes('2'), { ttl: 5e6 }), true, 'compareAndSet')
      const fresh = (await backend.getEntry('k'))?.ttl ?? 0
      check(fresh > 1e6 + 2 && fresh <= 5e6 + 2, `ttl after compareAndSet: expected about 5000000, got ${fresh}`)
      checkEqual(await backend.compareAndSet('k', bytes('2'), bytes('3')), true, 'compareAndSet without ttl')
      checkEqual((await backend.getEntry('k'))?.ttl, undefined, 'ttl after compareAndSet without one')
    },
  },
  {
    rule: 'R20',
    title: 'of concurrent compareAndSet() of one value exactly one is true',
    async run(fixture) {
      const clients = await fixture.clients(4)
      const [backend] = clients
      for (let round = 0; round < 6; round++) {
        const old = round % 2 === 0 ? bytes(`round ${round}`) : pattern(2000 + round)
        await backend.set('k', old)
        const won = await Promise.all(
          Array.from({ length: 16 }, (_, index) => from(clients, index).compareAndSet('k', old, bytes(`by ${index}`))),
        )
        const winners = won.flatMap((yes, index) => (yes ? [index] : []))
        checkEqual(winners.length, 1, 'how many of 16 concurrent compareAndSet() were true')
        checkEqual(await backend.get('k'), bytes(`by ${winners[0]}`), 'get after concurrent compareAndSet()')
        await backend.set('k', old)
        const deleted = await Promise.all(
          Array.from({ length: 16 }, (_, index) => from(clients, index).compareAndDelete('k', old)),
        )
        checkEqual(deleted.filter(yes => yes).length, 1, 'how many of 16 concurrent compareAndDelete() were true')
      }
    },
  },
  {
    rule: 'R20',
    title: 'updates by compareAndSet() in a loop lose nothing',
    async run(fixture) {
      const clients = await fixture.clients(3)
      const [backend] = clients
      await backend.set('list', bytes(''))
      await Promise.all(
        clients.map(async (client, who) => {
          for (let turn = 0; turn < 8; turn++) {
            for (;;) {
              const list = (await client.get('list')) ?? bytes('')
              const next = bytes(`${Buffer.from(list).toString()}${who}${turn},`)
              if (await client.compareAndSet('list', list, next)) break
            }
          }
        }),
      )
      const entries = Buffer.from((await backend.get('list')) ?? [])
        .toString()
        .split(',')
        .filter(Boolean)
      checkEqual(new Set(entries).size, 24, 'updates that are in the list')
    },
  },
  {
    rule: 'R20',
    title: 'of concurrent delete() of one entry exactly one is true',
    async run(fixture) {
      const clients = await fixture.clients(4)
      const [backend] = clients
      for (let round = 0; round < 5; round++) {
        await backend.set('k', bytes('1'))
        const deleted = await Promise.all(Array.from({ length: 12 }, (_, index) => from(clients, index).delete('k')))
        checkEqual(deleted.filter(yes => yes).length, 1, 'how many of 12 concurrent delete() were true')
      }
    },
  },
  {
    rule: 'R21',
    title: 'increment() counts, and get() answers the number in ASCII',
    async run(fixture) {
      const backend = await fixture.backend()
      const steps = [
        [undefined, 1],
        [1, 2],
        [5, 7],
        [-9, -2],
        [0, -2],
        [-0, -2],
        [2, 0],
        [0, 0],
        [-1, -1],
        [1_000_000, 999_999],
        [MAX - 999_999, MAX],
        [-MAX, 0],
        [-MAX, -MAX],
        [MAX, 0],
      ] as const
      for (const [by, sum] of steps) {
        checkEqual(await backend.increment('n', by), sum, `increment by ${by}`)
        checkEqual(await backend.get('n'), bytes(String(sum)), `get after increment by ${by}`)
      }
      checkEqual((await backend.getEntry('n'))?.value, bytes('0'), 'getEntry of a counter')
      checkEqual(await backend.getMany(['n', 'n']), [bytes('0'), bytes('0')], 'getMany of a counter')
      checkEqual(await backend.has('n'), true, 'has of a counter')
      checkEqual(await backend.add('n', bytes('5')), false, 'add of a counter')
      checkEqual(await backend.compareAndSet('n', bytes('0'), bytes('41')), true, 'compareAndSet of a counter')
      checkEqual(await backend.increment('n'), 42, 'increment after compareAndSet')
      checkEqual(await backend.compareAndDelete('n', bytes('42')), true, 'compareAndDelete of a counter')
      checkEqual(await backend.increment('from zero', 0), 0, 'increment of a missing key by 0')
      checkEqual(await backend.get('from zero'), bytes('0'), 'get after that')
    },
  },
  {
    rule: 'R21',
    title: 'a decimal number that was set is a counter',
    async run(fixture) {
      const backend = await fixture.backend()
      for (const value of [0, 7, -7, 41, 1_000_000_000_000, MAX - 1, -MAX]) {
        await backend.set('set', bytes(String(value)))
        await backend.setMany([['setMany', bytes(String(value))]])
        await backend.delete('add')
        await backend.add('add', bytes(String(value)))
        for (const key of ['set', 'setMany', 'add']) {
          checkEqual(await backend.increment(key), value + 1, `increment after ${key} of ${value}`)
          checkEqual(await backend.get(key), bytes(String(value + 1)), `get after ${key} of ${value} and increment`)
        }
      }
    },
  },
  {
    rule: 'R21',
    title: 'a new counter takes the ttl, one that exists keeps its deadline',
    async run(fixture) {
      const backend = await fixture.backend()
      const ttl = fixture.clock.isFrozen ? 60_000 : 60
      await backend.increment('permanent')
      await backend.increment('permanent', 1, { ttl })
      checkEqual(
        (await backend.getEntry('permanent'))?.ttl,
        undefined,
        'ttl of a permanent counter after increment with one',
      )
      await backend.set('set', bytes('1'), { ttl })
      const { during } = await fixture.clock.measure(async () => {
        await backend.increment('new', 1, { ttl })
        await backend.set('set', bytes('1'), { ttl })
      })
      await fixture.clock.passTo(during.start + ttl / 2)
      const counted = await fixture.clock.measure(() =>
        Promise.all([backend.increment('new', 5, { ttl: 1e6 }), backend.increment('set', 5)]),
      )
      if (fixture.clock.isVisible(during, ttl, counted.during) === true) {
        checkEqual(counted.answer, [6, 6], 'increment of counters that exist')
        await fixture.clock.passTo(during.end + ttl + fixture.clock.slack)
        checkEqual(
          await backend.getMany(['new', 'set']),
          [undefined, undefined],
          'getMany at the deadline the counters had',
        )
      }
      await backend.increment('long', 1, { ttl: 1e6 })
      await backend.increment('long', 1, { ttl: 9e6 })
      await backend.increment('long')
      const left = (await backend.getEntry('long'))?.ttl
      check(
        left !== undefined && left <= 1e6 + 2 && left > 9e5,
        `ttl of a counter: expected about 1000000, got ${left}`,
      )
      checkEqual(await backend.get('permanent'), bytes('2'), 'get of the permanent counter')
    },
  },
  {
    rule: 'R21',
    title: 'what is no decimal number is no counter, and stays as it is',
    async run(fixture) {
      const backend = await fixture.backend()
      const values = [
        ...invalidCounters.map(bytes),
        Uint8Array.of(0xff, 0xfe),
        Uint8Array.of(0x31, 0xff),
        pattern(2000),
      ]
      await Promise.all(
        values.map(async (value, index) => {
          const key = `k${index}`
          await backend.set(key, value, { ttl: 1e6 })
          for (const by of [1, 0, -1]) {
            const subject = `increment by ${by} of ${describe(value)}`
            const error = await checkRejects(() => backend.increment(key, by), 'CACHE_NOT_A_COUNTER', subject)
            checkEqual(error.outcome, 'not-applied', `outcome of ${subject}`)
          }
          checkEqual(await backend.get(key), value, 'get after a refused increment')
          check((await backend.getEntry(key))?.ttl !== undefined, 'a refused increment took the deadline away')
        }),
      )
    },
  },
  {
    rule: 'R21',
    title: 'a sum outside the safe integers is refused, and the counter unchanged',
    async run(fixture) {
      const backend = await fixture.backend()
      const steps = [
        [MAX, 1],
        [MAX, MAX],
        [-MAX, -1],
        [-MAX, -MAX],
        [MAX - 5, 6],
        [5 - MAX, -6],
      ] as const
      for (const [value, by] of steps) {
        await backend.set('n', bytes(String(value)), { ttl: 1e6 })
        const subject = `increment of ${value} by ${by}`
        const error = await checkRejects(() => backend.increment('n', by), 'CACHE_COUNTER_OVERFLOW', subject)
        checkEqual(error.outcome, 'not-applied', `outcome of ${subject}`)
        checkEqual(await backend.get('n'), bytes(String(value)), `get after ${subject}`)
        check((await backend.getEntry('n'))?.ttl !== undefined, 'a refused increment took the deadline away')
        checkEqual(
          await backend.increment('n', -Math.sign(by)),
          value - Math.sign(by),
          `increment back, after ${subject}`,
        )
      }
      await backend.set('n', bytes('9007199254740993'))
      checkEqual(await backend.increment('n', -5), 9_007_199_254_740_988, 'increment of 2^53 + 1 by -5')
      for (const text of [
        '9223372036854775807',
        '9223372036854775808',
        '-9223372036854775809',
        '9'.repeat(30),
        '1'.repeat(400),
      ]) {
        await backend.set('huge', bytes(text))
        await checkRejects(() => backend.increment('huge'), 'CACHE_COUNTER_OVERFLOW', `increment of ${describe(text)}`)
        checkEqual(await backend.get('huge'), bytes(text), `get after increment of ${describe(text)}`)
      }
    },
  },
  {
    rule: 'R21',
    title: 'what is no safe integer is refused as an increment',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('n', bytes('1'))
      const invalid: unknown[] = [
        1.5,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        2 ** 53,
        -(2 ** 53),
        '1',
        null,
        1n,
        true,
        {},
        [1],
      ]
      for (const by of invalid) {
        const subject = `increment by ${describe(by)}`
        await checkRejects(() => backend.increment('n', by as number), 'CACHE_INVALID_ARGUMENT', subject)
        await checkRejects(() => backend.increment('new', by as number), 'CACHE_INVALID_ARGUMENT', subject)
      }
      checkEqual(await backend.getMany(['n', 'new']), [bytes('1'), undefined], 'getMany after the refusals')
    },
  },
  {
    rule: 'R21',
    title: 'concurrent increments all count, and each has its own answer',
    async run(fixture) {
      const clients = await fixture.clients(4)
      const [backend] = clients
      const count = async (key: string): Promise<void> => {
        const sums = await Promise.all(Array.from({ length: 100 }, (_, index) => from(clients, index).increment(key)))
        checkEqual(new Set(sums).size, 100, `different answers to 100 concurrent increments of ${key}`)
        checkEqual(Math.max(...sums), 100, `the highest answer to 100 concurrent increments of ${key}`)
        checkEqual(await backend.get(key), bytes('100'), `get after 100 concurrent increments of ${key}`)
      }
      await backend.set('expired', bytes('50'), { ttl: 5 })
      await fixture.clock.pass(5)
      await backend.set('set', bytes('0'))
      for (const key of ['missing', 'expired', 'set']) await count(key)
    },
  },
  {
    rule: 'R22',
    title: 'a read sees one write, never halves of two',
    async run(fixture) {
      const [writer, reader = writer] = await fixture.clients(2)
      const size = Math.min(50_000, writer.supports.maxValueBytes)
      // Each value is one byte throughout, and its length and ttl belong to that byte.
      const versions = [1, 2, 3, 4].map(byte => ({
        value: new Uint8Array((size * byte) / 4).fill(byte),
        ttl: byte % 2 ? undefined : byte * 1e6,
      }))
      const keys = ['a', 'b']
      for (const key of keys) await writer.set(key, versions[0]?.value as Uint8Array)
      let done = false
      const readers = Array.from({ length: 3 }, async (_, lane) => {
        while (!done) {
          const key = fixture.random.pick(keys)
          if (lane === 0) check(isWhole(await reader.get(key), size), 'get: a value that nobody wrote')
          if (lane === 1)
            for (const value of await reader.getMany(keys))
              check(isWhole(value, size), 'getMany: a value that nobody wrote')
          if (lane === 2) {
            const entry = await reader.getEntry(key)
            check(isWhole(entry?.value, size), 'getEntry: a value that nobody wrote')
            const byte = entry?.value[0] ?? 0
            const fits = byte % 2 ? entry?.ttl === undefined : Math.abs((entry?.ttl ?? 0) - byte * 1e6) < 1e5
            check(fits, `getEntry: the value of one write with the deadline of another (${entry?.ttl})`)
          }
        }
      })
      const write = async (): Promise<void> => {
        for (let turn = 0; turn < 60; turn++) {
          const { value, ttl } = fixture.random.pick(versions)
          const key = fixture.random.pick(keys)
          if (turn % 3 === 0) await writer.setMany(keys.map(key => [key, value, { ttl }]))
          else await writer.set(key, value, { ttl })
        }
        done = true
      }
      await Promise.all([write(), ...readers])
    },
  },
]

function from(clients: readonly [CacheBackend, ...CacheBackend[]], index: number): CacheBackend {
  return clients[index % clients.length] ?? clients[0]
}

/** Bytes that are nearly these. */
function unequal(value: Uint8Array): Uint8Array[] {
  const last = value.byteLength - 1
  const changed = (index: number): Uint8Array => value.map((byte, at) => (at === index ? byte ^ 1 : byte))
  const longer = new Uint8Array(value.byteLength + 1)
  longer.set(value)
  return last < 0
    ? [longer, bytes('a')]
    : [changed(last), changed(0), changed(last >> 1), value.subarray(0, last), longer]
}

function isWhole(value: Uint8Array | undefined, size: number): boolean {
  if (value === undefined) return false
  const byte = value[0] ?? 0
  return value.byteLength === Math.trunc((size * byte) / 4) && value.every(other => other === byte)
}
