// R23 to R26: many keys in one call.
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, checkRejects, describe } from '../check.ts'
import type { Fixture } from '../fixture.ts'
import { bytes, pattern } from '../sample.ts'

export const batchCases: readonly CaseDefinition[] = [
  {
    rule: 'R23',
    title: 'no keys, no work',
    async run(fixture) {
      const backend = await fixture.backend()
      checkEqual(await backend.getMany([]), [], 'getMany of []')
      checkEqual(await backend.setMany([]), undefined, 'setMany of []')
      checkEqual(await backend.setMany(new Map()), undefined, 'setMany of an empty Map')
      checkEqual(await backend.deleteMany([]), undefined, 'deleteMany of []')
      await backend.set('k', bytes('1'))
      await backend.deleteMany([])
      checkEqual(await backend.get('k'), bytes('1'), 'get after deleteMany of []')
    },
  },
  {
    rule: 'R23',
    title: 'answers come in the order of the keys, as many as there are keys',
    async run(fixture) {
      const backend = await fixture.backend()
      const keys = ['z', 'a', '10', '9', '1', 'm', 'missing', 'Z', 'b', '0']
      await backend.setMany(keys.filter(key => key !== 'missing').map(key => [key, bytes(key)]))
      for (let round = 0; round < 10; round++) {
        const asked = Array.from({ length: fixture.random.below(12) }, () => fixture.random.pick(keys))
        checkEqual(
          await backend.getMany(asked),
          asked.map(key => (key === 'missing' ? undefined : bytes(key))),
          `getMany of ${describe(asked)}`,
        )
      }
    },
  },
  {
    rule: 'R23',
    title: 'a key may come twice: reads answer twice, the last write wins',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.setMany([
        ['a', bytes('1'), { ttl: 1e6 }],
        ['b', bytes('1')],
        ['a', bytes('2')],
        ['b', bytes('2'), { ttl: 1e6 }],
        ['a', bytes('3')],
      ])
      checkEqual(
        await backend.getMany(['a', 'b', 'a', 'missing', 'a', 'missing']),
        [bytes('3'), bytes('2'), bytes('3'), undefined, bytes('3'), undefined],
        'getMany of keys that come twice',
      )
      checkEqual((await backend.getEntry('a'))?.ttl, undefined, 'ttl of an entry whose last write has none')
      check((await backend.getEntry('b'))?.ttl !== undefined, 'the last write had a ttl, the entry has none')
      await backend.deleteMany(['a', 'a', 'missing', 'missing', 'a'])
      checkEqual(
        await backend.getMany(['a', 'b']),
        [undefined, bytes('2')],
        'getMany after deleteMany of a key that comes twice',
      )
      const many = Array.from({ length: 300 }, (_, index): [string, Uint8Array] => [
        `k${index % 7}`,
        bytes(String(index)),
      ])
      await backend.setMany(many)
      for (let index = 293; index < 300; index++) {
        checkEqual(
          await backend.get(`k${index % 7}`),
          bytes(String(index)),
          'get after many writes to one key in one batch',
        )
      }
    },
  },
  {
    rule: 'R23',
    title: 'each entry may have a ttl of its own, or takes that of the call',
    async run(fixture) {
      const backend = await fixture.backend()
      const ttl = fixture.clock.isFrozen ? 1000 : 30
      await backend.setMany(
        [
          ['own', bytes('1'), { ttl: 1e6 }],
          ['none', bytes('1'), { ttl: undefined }],
          ['empty', bytes('1'), {}],
          ['of the call', bytes('1')],
        ],
        { ttl },
      )
      checkEqual((await backend.getEntry('none'))?.ttl, undefined, 'ttl of an entry with { ttl: undefined }')
      await fixture.clock.pass(ttl)
      checkEqual(
        await backend.getMany(['own', 'none', 'empty', 'of the call']),
        [bytes('1'), bytes('1'), bytes('1'), undefined],
        'getMany when the ttl of the call is over',
      )
    },
  },
  {
    rule: 'R23',
    title: 'entries may come from any iterable',
    async run(fixture) {
      const backend = await fixture.backend()
      function* entries(): Generator<[string, Uint8Array]> {
        yield ['generator', bytes('1')]
        yield ['twice', bytes('1')]
      }
      await backend.setMany(entries())
      await backend.setMany(new Map([['map', bytes('1')]]))
      await backend.setMany(new Set([['set', bytes('1')] as const]))
      const keys = ['generator', 'twice', 'map', 'set']
      checkEqual(
        await backend.getMany(keys),
        keys.map(() => bytes('1')),
        'getMany after setMany of iterables',
      )
    },
  },
  {
    rule: 'R23',
    title: 'an invalid argument anywhere refuses the whole call',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('there', bytes('old'))
      const valid: [string, Uint8Array] = ['there', bytes('new')]
      const also: [string, Uint8Array] = ['other', bytes('new')]
      const bad = {
        INVALID_KEY: ['', bytes('1')],
        INVALID_ARGUMENT: ['k', 'text'],
        INVALID_TTL: ['k', bytes('1'), { ttl: 0 }],
      }
      for (const [code, entry] of Object.entries(bad)) {
        const invalid = entry as unknown as [string, Uint8Array]
        for (const entries of [
          [invalid, valid, also],
          [valid, invalid, also],
          [valid, also, invalid],
        ]) {
          const call = (): Promise<unknown> => backend.setMany(entries)
          await checkRejects(call, `CACHE_${code}` as 'CACHE_INVALID_KEY', 'setMany with one invalid entry')
        }
      }
      for (const keys of [
        ['there', ''],
        ['', 'there'],
        ['there', 1, 'x'],
        ['there', undefined],
      ] as string[][]) {
        await checkRejects(() => backend.getMany(keys), 'CACHE_INVALID_KEY', `getMany of ${describe(keys)}`)
        await checkRejects(() => backend.deleteMany(keys), 'CACHE_INVALID_KEY', `deleteMany of ${describe(keys)}`)
      }
      function* failing(): Generator<[string, Uint8Array]> {
        yield valid
        throw new Error('from the iterable')
      }
      const failed = await backend.setMany(failing()).then(
        () => false,
        () => true,
      )
      checkEqual(failed, true, 'whether setMany rejects if its iterable throws')
      for (const invalid of [undefined, null, 1, true, {}, 'text', Symbol('a')]) {
        const list = invalid as unknown as []
        const subject = `with ${describe(invalid)}`
        await checkRejects(() => backend.getMany(list), 'CACHE_INVALID_ARGUMENT', `getMany ${subject}`)
        await checkRejects(() => backend.setMany(list), 'CACHE_INVALID_ARGUMENT', `setMany ${subject}`)
        await checkRejects(() => backend.deleteMany(list), 'CACHE_INVALID_ARGUMENT', `deleteMany ${subject}`)
        await checkRejects(
          () => backend.setMany([list] as unknown as []),
          'CACHE_INVALID_ARGUMENT',
          `setMany of an entry ${subject}`,
        )
      }
      checkEqual(
        await backend.getMany(['there', 'other', 'k']),
        [bytes('old'), undefined, undefined],
        'getMany at the end',
      )
    },
  },
  {
    rule: 'R24',
    title: '1,000 keys in one call',
    run: fixture => manyKeys(fixture, 1000),
  },
  {
    rule: 'R24',
    title: '5,000 keys in one call',
    rootOnly: true,
    run: fixture => manyKeys(fixture, 5000),
  },
  {
    rule: 'R24',
    title: 'a batch may be larger than any single message of a store',
    rootOnly: true,
    async run(fixture) {
      const backend = await fixture.backend()
      const size = Math.min(256 * 1024, backend.supports.maxValueBytes)
      // A store that evicts is not to be filled: its other users would lose their entries.
      const count = backend.supports.evicts ? 16 : 68
      const base = pattern(size + count)
      const keys = Array.from({ length: count }, (_, index) => `k${index}`)
      await backend.setMany(keys.map((key, index) => [key, base.subarray(index, index + size)]))
      const values = await backend.getMany(keys)
      for (const index of keys.keys()) {
        checkEqual(values[index], base.subarray(index, index + size), `getMany of ${count} values of ${size} bytes`)
      }
      await backend.deleteMany(keys)
      checkEqual(await backend.getMany(['k0', `k${count - 1}`]), [undefined, undefined], 'getMany after deleteMany')
    },
  },
  {
    rule: 'R24',
    title: 'batches that overlap, by several clients at once, all succeed',
    async run(fixture) {
      const clients = await fixture.clients(4)
      const [backend] = clients
      const keys = Array.from({ length: 60 }, (_, index) => `k${index}`)
      for (let round = 0; round < 3; round++) {
        await Promise.all(
          clients.map(async (client, who) => {
            const mine = who % 2 === 0 ? keys : keys.toReversed()
            await client.setMany(mine.map(key => [key, bytes(`${key} by ${who}`)]))
            await client.deleteMany(mine.slice(0, 10))
            await client.setMany(mine.map(key => [key, bytes(`${key} by ${who}`)]))
          }),
        )
      }
      const values = await backend.getMany(keys)
      for (const [index, key] of keys.entries()) {
        const value = values[index]
        const text = value && Buffer.from(value).toString()
        check(
          text === undefined || (/^ by \d$/.test(text.slice(key.length)) && text.startsWith(key)),
          `getMany of ${key}: got ${describe(value)}`,
        )
      }
    },
  },
]

async function manyKeys(fixture: Fixture, count: number): Promise<void> {
  const backend = await fixture.backend()
  const keys = Array.from({ length: count }, (_, index) => `key ${index}`)
  await backend.setMany(
    keys.map(key => [key, bytes(key)]),
    { ttl: 1e6 },
  )
  const asked = [...keys, 'missing', ...keys.slice(0, 100)]
  const values = await backend.getMany(asked)
  checkEqual(values.length, asked.length, 'answers of getMany')
  for (const [index, key] of asked.entries()) {
    checkEqual(values[index], key === 'missing' ? undefined : bytes(key), `getMany, place ${index} of ${asked.length}`)
  }
  const doomed = keys.filter((_, index) => index % 2 === 0)
  await backend.deleteMany(doomed)
  const left = await backend.getMany(keys)
  for (const index of keys.keys()) {
    const expected = index % 2 === 0 ? undefined : bytes(`key ${index}`)
    checkEqual(left[index], expected, `getMany after deleteMany of half of ${count} keys, place ${index}`)
  }
}
