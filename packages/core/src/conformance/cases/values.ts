// R1 to R7: reading and writing.
import type { CacheBackend } from '../../backend.ts'
import { isCacheError } from '../../errors.ts'
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, checkRejects, describe, equalBytes } from '../check.ts'
import { hostileValues, invalidValues } from '../corpora.ts'
import { inLanes } from '../lanes.ts'
import { bytes, MAX_TESTED_BYTES, pattern } from '../sample.ts'

/** Every way to put a value under a key that has none. */
const WRITERS: readonly (readonly [
  name: string,
  write: (backend: CacheBackend, key: string, value: Uint8Array) => Promise<unknown>,
])[] = [
  ['set', (backend, key, value) => backend.set(key, value)],
  ['setMany', (backend, key, value) => backend.setMany([[key, value]])],
  ['add', (backend, key, value) => backend.add(key, value)],
  [
    'compareAndSet',
    async (backend, key, value) => {
      await backend.set(key, bytes('before'))
      return backend.compareAndSet(key, bytes('before'), value)
    },
  ],
]

/** Every way to read the value of a key. */
const READERS: readonly (readonly [
  name: string,
  read: (backend: CacheBackend, key: string) => Promise<Uint8Array | undefined>,
])[] = [
  ['get', (backend, key) => backend.get(key)],
  ['getEntry', async (backend, key) => (await backend.getEntry(key))?.value],
  ['getMany', async (backend, key) => (await backend.getMany([key]))[0]],
]

export const valueCases: readonly CaseDefinition[] = [
  {
    rule: 'R1',
    title: 'a miss is undefined, on every way to read',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('there', bytes('1'))
      checkEqual(await backend.get('missing'), undefined, 'get of a missing key')
      checkEqual(await backend.getEntry('missing'), undefined, 'getEntry of a missing key')
      checkEqual(await backend.has('missing'), false, 'has of a missing key')
      checkEqual(
        await backend.getMany(['missing', 'there', 'gone']),
        [undefined, bytes('1'), undefined],
        'getMany of missing keys and one that is there',
      )
    },
  },
  {
    rule: 'R1',
    title: 'a value that looks like nothing is a hit',
    async run(fixture) {
      const backend = await fixture.backend()
      for (const text of ['', 'null', 'undefined', 'false', '0', '\0', 'NaN', '{}', '[]']) {
        const key = `like ${text}`
        await backend.set(key, bytes(text))
        const subject = `of the stored text ${JSON.stringify(text)}`
        checkEqual(await backend.has(key), true, `has ${subject}`)
        for (const [name, read] of READERS) checkEqual(await read(backend, key), bytes(text), `${name} ${subject}`)
        checkEqual(await backend.add(key, bytes('other')), false, `add ${subject}`)
        checkEqual(await backend.touch(key, { ttl: undefined }), true, `touch ${subject}`)
        checkEqual(await backend.delete(key), true, `delete ${subject}`)
      }
    },
  },
  {
    rule: 'R1',
    title: 'a call without time to answer rejects, and is never a miss',
    rootOnly: true,
    async run(fixture) {
      const backend = await fixture.backend()
      if (!backend.supports.shared) return
      await backend.set('there', bytes('1'))
      const hasty = await fixture.backend({ timeout: 1 })
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const answer = await hasty.get('there').catch(error => {
            // A call that times out may take the connection of the others along.
            check(isOutage(error), `get with a timeout of 1 ms: expected CACHE_TIMEOUT, got ${describe(error)}`)
            return bytes('1')
          })
          checkEqual(answer, bytes('1'), 'get with a timeout of 1 ms')
        }),
      )
    },
  },
  {
    rule: 'R2',
    title: 'values come back byte for byte, however they were written and are read',
    async run(fixture) {
      const backend = await fixture.backend()
      await inLanes(hostileValues, async ({ title, bytes: value }, index) => {
        for (const [writer, write] of WRITERS) {
          await write(backend, `${writer} ${index}`, value)
          const [reader, read] = READERS[index % READERS.length] as (typeof READERS)[number]
          checkEqual(await read(backend, `${writer} ${index}`), value, `${reader} after ${writer} of ${title}`)
        }
      })
      const keys = hostileValues.map((_, index) => `set ${index}`)
      checkEqual(
        await backend.getMany(keys),
        hostileValues.map(value => value.bytes),
        'getMany of all values',
      )
    },
  },
  {
    rule: 'R2',
    title: 'what comes back is a Uint8Array',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('abc'))
      for (const [name, read] of READERS) {
        const value = await read(backend, 'k')
        checkEqual(Object.prototype.toString.call(value), '[object Uint8Array]', `the type that ${name} answers`)
      }
    },
  },
  {
    rule: 'R2',
    title: 'random bytes of any size come back',
    async run(fixture) {
      const backend = await fixture.backend()
      const limit = backend.supports.maxValueBytes
      const sizes = [0, 1, 2, 3, 63, 64, 127, 128, 8191, 8192, 100_000, 262_144, 262_145].filter(size => size <= limit)
      for (const size of sizes) {
        const value = fixture.random.bytes(size)
        await backend.set('k', value)
        checkEqual(await backend.get('k'), value, `get of ${size} random bytes`)
      }
    },
  },
  {
    rule: 'R2',
    title: 'a value of exactly supports.maxValueBytes is stored',
    rootOnly: true,
    async run(fixture) {
      const backend = await fixture.backend()
      const size = Math.min(backend.supports.maxValueBytes, MAX_TESTED_BYTES)
      const value = pattern(size)
      await backend.set('k', value)
      const read = await backend.get('k')
      check(read !== undefined && equalBytes(read, value), `get: a value of ${size} bytes did not come back`)
      checkEqual(await backend.delete('k'), true, `delete of a value of ${size} bytes`)
    },
  },
  {
    rule: 'R3',
    title: 'changing a buffer after the call changes nothing',
    async run(fixture) {
      const backend = await fixture.backend()
      for (const size of [3, 2000, 70_000].filter(size => size <= backend.supports.maxValueBytes)) {
        for (const [name, write] of WRITERS.slice(0, 3)) {
          const key = `${name} ${size}`
          const value = pattern(size)
          const writing = write(backend, key, value)
          value.fill(0xee)
          await writing
          checkEqual(await backend.get(key), pattern(size), `get after ${name} and a change while it was under way`)
        }
        const settled = pattern(size)
        await backend.set('k', settled)
        settled.fill(0xee)
        checkEqual(await backend.get('k'), pattern(size), 'get after a change of the buffer that was set')
        const [expected, value] = [pattern(size), bytes('new')]
        const swapping = backend.compareAndSet('k', expected, value)
        expected.fill(0)
        value.fill(0)
        checkEqual(await swapping, true, 'compareAndSet whose buffers were changed while it was under way')
        checkEqual(await backend.get('k'), bytes('new'), 'get after that compareAndSet')
        const deleting = [bytes('new')]
        const deleted = backend.compareAndDelete('k', deleting[0] as Uint8Array)
        deleting[0]?.fill(0)
        checkEqual(await deleted, true, 'compareAndDelete whose buffer was changed while it was under way')
      }
    },
  },
  {
    rule: 'R3',
    title: 'changing a buffer that was read changes nothing',
    async run(fixture) {
      const backend = await fixture.backend()
      for (const size of [3, 2000, 70_000].filter(size => size <= backend.supports.maxValueBytes)) {
        await backend.set('k', pattern(size))
        for (const [name, read] of READERS) {
          const first = await read(backend, 'k')
          first?.fill(0xee)
          checkEqual(await backend.get('k'), pattern(size), `get after a change of what ${name} had answered`)
          checkEqual(await read(backend, 'k'), pattern(size), `${name} after a change of what ${name} had answered`)
        }
        const [one, two] = await backend.getMany(['k', 'k'])
        one?.fill(0xee)
        checkEqual(two, pattern(size), 'the second of two equal keys in getMany after a change of the first')
      }
    },
  },
  {
    rule: 'R3',
    title: 'arguments stay as they were, and may be frozen',
    async run(fixture) {
      const backend = await fixture.backend()
      const value = bytes('abc')
      const options = Object.freeze({ ttl: 60_000 })
      const entries = Object.freeze([
        Object.freeze(['a', value, options] as const),
        Object.freeze(['b', value] as const),
      ])
      const keys = Object.freeze(['a', 'b', 'a'])
      await backend.set('k', value, options)
      await backend.add('added', value, options)
      await backend.setMany(entries, options)
      checkEqual(await backend.getMany(keys), [value, value, value], 'getMany of a frozen array')
      await backend.compareAndSet('k', value, value, options)
      await backend.touch('k', options)
      await backend.increment('n', 1, options)
      await backend.deleteMany(keys)
      checkEqual(value, bytes('abc'), 'the buffer after all calls')
    },
  },
  {
    rule: 'R3',
    title: 'arrays of keys and entries are read before the call returns',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('neighbour', bytes('n'))
      const entries: [string, Uint8Array][] = [
        ['a', bytes('1')],
        ['b', bytes('2')],
      ]
      const setting = backend.setMany(entries)
      entries.splice(0, 2, ['neighbour', bytes('wrong')])
      await setting
      const keys = ['a', 'b']
      const reading = backend.getMany(keys)
      keys.splice(0, 2, 'neighbour')
      checkEqual(await reading, [bytes('1'), bytes('2')], 'getMany whose array was changed while it was under way')
      const doomed = ['a', 'b']
      const deleting = backend.deleteMany(doomed)
      doomed.splice(0, 2, 'neighbour')
      await deleting
      checkEqual(
        await backend.getMany(['a', 'b', 'neighbour']),
        [undefined, undefined, bytes('n')],
        'getMany at the end',
      )
    },
  },
  {
    rule: 'R4',
    title: 'what a promise of a write says is read at once, by this client and by others',
    async run(fixture) {
      const [one, two, three] = await fixture.clients(3)
      const keys = Array.from({ length: 8 }, (_, index) => `k${index}`)
      const proves = async (key: string, round: number): Promise<void> => {
        const value = bytes(`value ${round}`)
        await one.set(key, value)
        checkEqual(await one.get(key), value, 'get by the client that set')
        checkEqual(await two?.get(key), value, 'get by another client')
        checkEqual(await three?.getMany([key]), [value], 'getMany by another client')
        checkEqual(await two?.has(key), true, 'has by another client')
        await two?.set(key, bytes('two'))
        checkEqual((await one.getEntry(key))?.value, bytes('two'), 'getEntry after another client set')
        await three?.delete(key)
        checkEqual(await one.get(key), undefined, 'get after another client deleted')
        checkEqual(await two?.has(key), false, 'has after another client deleted')
        await one.setMany([[key, bytes('many')]])
        checkEqual(await two?.get(key), bytes('many'), 'get after another client called setMany')
        checkEqual(await two?.add(key, bytes('no')), false, 'add after another client called setMany')
        await two?.deleteMany([key])
        checkEqual(await one.increment(key), 1, 'increment after another client called deleteMany')
        checkEqual(await three?.increment(key), 2, 'increment by another client')
      }
      await inLanes(keys, async key => {
        for (let round = 0; round < 3; round++) await proves(key, round)
      })
    },
  },
  {
    rule: 'R4',
    title: 'methods answer promises and never throw',
    async run(fixture) {
      const backend = await fixture.backend()
      const value = bytes('1')
      const answers = {
        open: backend.open(),
        set: backend.set('k', value),
        get: backend.get('k'),
        getEntry: backend.getEntry('k'),
        getMany: backend.getMany(['k']),
        has: backend.has('k'),
        setMany: backend.setMany([['k', value]]),
        add: backend.add('k', value),
        compareAndSet: backend.compareAndSet('k', value, value),
        compareAndDelete: backend.compareAndDelete('k', value),
        touch: backend.touch('k', { ttl: undefined }),
        increment: backend.increment('n'),
        delete: backend.delete('k'),
        deleteMany: backend.deleteMany(['k']),
        clear: backend.clear(),
      }
      const wrong = Object.entries(answers).filter(([, answer]) => typeof answer?.then !== 'function')
      checkEqual(
        wrong.map(([name]) => name),
        [],
        'methods that answered no promise',
      )
      await Promise.all(Object.values(answers))
      const nothing = {
        open: await backend.open(),
        set: await backend.set('k', value),
        setMany: await backend.setMany([['k', value]]),
        deleteMany: await backend.deleteMany(['k']),
        clear: await backend.clear(),
      }
      for (const [name, answer] of Object.entries(nothing)) checkEqual(answer, undefined, `what ${name} resolves to`)
    },
  },
  {
    rule: 'R5',
    title: 'set replaces the value, whatever its size',
    async run(fixture) {
      const backend = await fixture.backend()
      for (const text of [
        'a long value, to begin with',
        'short',
        '',
        'longer than before',
        '7',
        'not a number',
        'x'.repeat(5000),
        'y',
      ]) {
        await backend.set('k', bytes(text))
        checkEqual(await backend.get('k'), bytes(text), 'get after one more set')
      }
      await backend.increment('n', 5)
      await backend.set('n', bytes('text'))
      checkEqual(await backend.get('n'), bytes('text'), 'get after set over a counter')
    },
  },
  {
    rule: 'R5',
    title: 'a write without a ttl takes the old deadline away',
    async run(fixture) {
      const backend = await fixture.backend()
      const old = bytes('old')
      const overwrites: Record<string, (key: string) => Promise<unknown>> = {
        set: key => backend.set(key, bytes('new')),
        'set with { ttl: undefined }': key => backend.set(key, bytes('new'), { ttl: undefined }),
        setMany: key => backend.setMany([[key, bytes('new')]]),
        compareAndSet: key => backend.compareAndSet(key, old, bytes('new')),
      }
      await fixture.inTime(fixture.clock.isFrozen ? 60_000 : 50, async ttl => {
        const names = Object.keys(overwrites)
        const set = await fixture.clock.measure(() => Promise.all(names.map(key => backend.set(key, old, { ttl }))))
        const overwritten = await fixture.clock.measure(() => Promise.all(names.map(key => overwrites[key]?.(key))))
        if (fixture.clock.isVisible(set.during, ttl, overwritten.during) !== true) return false
        for (const name of names) {
          const entry = await backend.getEntry(name)
          checkEqual(entry?.value, bytes('new'), `getEntry after ${name}`)
          checkEqual(entry?.ttl, undefined, `ttl after ${name} without one`)
        }
        await fixture.clock.passTo(set.during.end + ttl + fixture.clock.slack)
        for (const name of names) {
          checkEqual(await backend.get(name), bytes('new'), `get at the old deadline after ${name} without a ttl`)
        }
        return true
      })
    },
  },
  {
    rule: 'R5',
    title: 'a write with a ttl replaces the old deadline, to shorten or to lengthen it',
    async run(fixture) {
      const backend = await fixture.backend()
      const old = bytes('old')
      const overwrites: Record<string, (key: string, ttl: number) => Promise<unknown>> = {
        set: (key, ttl) => backend.set(key, bytes('new'), { ttl }),
        setMany: (key, ttl) => backend.setMany([[key, bytes('new')]], { ttl }),
        'setMany with options of the entry': (key, ttl) =>
          backend.setMany([[key, bytes('new'), { ttl }]], { ttl: 1e6 }),
        compareAndSet: (key, ttl) => backend.compareAndSet(key, old, bytes('new'), { ttl }),
      }
      const names = Object.keys(overwrites)
      const overwriteAll = async (which: string, ttl: number): Promise<void> => {
        await Promise.all(names.map(name => overwrites[name]?.(`${name} ${which}`, ttl)))
      }
      await fixture.inTime(fixture.clock.isFrozen ? 60_000 : 40, async ttl => {
        const { clock } = fixture
        const set = await clock.measure(() => backend.setMany(names.map(name => [`${name} short`, old, { ttl }])))
        const lengthened = await clock.measure(() => overwriteAll('short', 1e6))
        if (clock.isVisible(set.during, ttl, lengthened.during) !== true) return false
        await backend.setMany(names.map(name => [`${name} permanent`, old]))
        await backend.setMany(names.map(name => [`${name} long`, old, { ttl: 1e6 }]))
        const { during } = await clock.measure(async () => {
          await overwriteAll('permanent', ttl)
          await overwriteAll('long', ttl)
        })
        await clock.passTo(during.end + ttl + clock.slack)
        for (const name of names) {
          const permanent = await backend.get(`${name} permanent`)
          checkEqual(permanent, undefined, `get after ${name} with a ttl over a permanent entry`)
          checkEqual(await backend.get(`${name} long`), undefined, `get after ${name} with a shorter ttl`)
          checkEqual(await backend.get(`${name} short`), bytes('new'), `get after ${name} with a longer ttl`)
        }
        return true
      })
    },
  },
  {
    rule: 'R6',
    title: 'delete says whether there was something, and leaves neighbours alone',
    async run(fixture) {
      const backend = await fixture.backend()
      const neighbours = [
        ...['a', 'k', 'K', 'k ', ' k', 'kk', 'k:', 'k:b', 'key/b', 'ke', '@key', 'ke_', 'ke%', 'k*', '*', '%', 'key\0'],
        ...['key ', 'key:', 'keys', 'KEY'],
      ]
      for (const key of neighbours) await backend.set(key, bytes(key))
      await backend.set('key', bytes('1'))
      checkEqual(await backend.delete('missing'), false, 'delete of a missing key')
      checkEqual(await backend.delete('key'), true, 'delete of a key that is there')
      checkEqual(await backend.get('key'), undefined, 'get after delete')
      checkEqual(await backend.has('key'), false, 'has after delete')
      checkEqual(await backend.delete('key'), false, 'a second delete')
      checkEqual(await backend.compareAndDelete('key', bytes('1')), false, 'compareAndDelete of a missing key')
      await backend.deleteMany(['missing', 'key', 'gone'])
      checkEqual(await backend.getMany(neighbours), neighbours.map(bytes), 'getMany of the neighbours')
      await backend.set('key', bytes('again'))
      checkEqual(await backend.get('key'), bytes('again'), 'get of a key that was deleted and set again')
      await backend.deleteMany(['key', 'missing', 'k'])
      checkEqual(
        await backend.getMany(['key', 'k', 'kk']),
        [undefined, undefined, bytes('kk')],
        'getMany after deleteMany',
      )
    },
  },
  {
    rule: 'R7',
    title: 'a value over the limit is refused, and the store is unchanged',
    rootOnly: true,
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('old'), { ttl: 1e6 })
      const tooLarge = new Uint8Array(backend.supports.maxValueBytes + 1) // untouched memory, so its size costs little
      const calls: Record<string, () => Promise<unknown>> = {
        set: () => backend.set('k', tooLarge),
        'set of a new key': () => backend.set('new', tooLarge),
        add: () => backend.add('new', tooLarge),
        'add of a key that is there': () => backend.add('k', tooLarge),
        compareAndSet: () => backend.compareAndSet('k', bytes('old'), tooLarge),
        setMany: () =>
          backend.setMany([
            ['before', bytes('1')],
            ['k', tooLarge],
            ['after', bytes('1')],
          ]),
      }
      for (const [name, call] of Object.entries(calls)) {
        const error = await checkRejects(call, 'CACHE_VALUE_TOO_LARGE', `${name} of a value over the limit`)
        checkEqual(error.outcome, 'not-applied', `outcome of ${name} of a value over the limit`)
      }
      checkEqual(
        await backend.getMany(['k', 'new', 'before', 'after']),
        [bytes('old'), undefined, undefined, undefined],
        'getMany after the refusals',
      )
      check((await backend.getEntry('k'))?.ttl !== undefined, 'the entry lost its deadline to a refused write')
    },
  },
  {
    rule: 'R2',
    title: 'what is no Uint8Array is refused',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('old'))
      for (const invalid of invalidValues) {
        const value = invalid as Uint8Array
        const subject = Object.prototype.toString.call(invalid)
        await checkRejects(() => backend.set('k', value), 'CACHE_INVALID_ARGUMENT', `set of ${subject}`)
        await checkRejects(() => backend.add('new', value), 'CACHE_INVALID_ARGUMENT', `add of ${subject}`)
        const entries: [string, Uint8Array][] = [
          ['new', bytes('1')],
          ['k', value],
        ]
        await checkRejects(() => backend.setMany(entries), 'CACHE_INVALID_ARGUMENT', `setMany of ${subject}`)
        for (const [expected, next] of [
          [value, bytes('1')],
          [bytes('old'), value],
        ] as const) {
          const call = (): Promise<unknown> => backend.compareAndSet('k', expected, next)
          await checkRejects(call, 'CACHE_INVALID_ARGUMENT', `compareAndSet with ${subject}`)
        }
        const call = (): Promise<unknown> => backend.compareAndDelete('k', value)
        await checkRejects(call, 'CACHE_INVALID_ARGUMENT', `compareAndDelete with ${subject}`)
      }
      checkEqual(await backend.getMany(['k', 'new']), [bytes('old'), undefined], 'getMany after the refusals')
    },
  },
]

function isOutage(error: unknown): boolean {
  return isCacheError(error, 'CACHE_TIMEOUT') || isCacheError(error, 'CACHE_UNAVAILABLE')
}
