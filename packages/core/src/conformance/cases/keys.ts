// R8 to R10 and R40: keys and namespaces.
import type { CacheBackend } from '../../backend.ts'
import { collectKeys, keyedCalls, writes } from '../calls.ts'
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, checkFails, checkRejects, describe } from '../check.ts'
import { forgedKeys, hostileKeys, hostileNames, hostileTexts, invalidKeys, invalidNames } from '../corpora.ts'
import { inLanes } from '../lanes.ts'
import { bytes } from '../sample.ts'

export const keyCases: readonly CaseDefinition[] = [
  {
    rule: 'R8',
    title: 'every well-formed string up to 8 KiB is a key',
    async run(fixture) {
      const backend = await fixture.backend()
      await inLanes(hostileKeys, async key => {
        const subject = `of the key ${describe(key)}`
        const value = bytes(`of ${key.slice(0, 50)}`)
        checkEqual(await backend.get(key), undefined, `get ${subject} before set`)
        await backend.set(key, value)
        checkEqual(await backend.get(key), value, `get ${subject}`)
        checkEqual(await backend.has(key), true, `has ${subject}`)
        checkEqual(await backend.add(key, bytes('no')), false, `add ${subject}`)
        checkEqual(await backend.delete(key), true, `delete ${subject}`)
        checkEqual(await backend.get(key), undefined, `get ${subject} after delete`)
      })
    },
  },
  {
    rule: 'R8',
    title: 'hostile keys work in batches, as counters and in atomic calls',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.setMany(hostileKeys.map((key, index) => [key, bytes(String(index))]))
      checkEqual(
        await backend.getMany(hostileKeys),
        hostileKeys.map((_, index) => bytes(String(index))),
        'getMany of all hostile keys',
      )
      await inLanes(hostileKeys, async (key, index) => {
        const subject = `of the key ${describe(key)}`
        checkEqual(await backend.increment(key, 1000), index + 1000, `increment ${subject}`)
        const swapped = await backend.compareAndSet(key, bytes(String(index + 1000)), bytes('swapped'))
        checkEqual(swapped, true, `compareAndSet ${subject}`)
        checkEqual(await backend.touch(key, { ttl: 1e6 }), true, `touch ${subject}`)
        checkEqual((await backend.getEntry(key))?.value, bytes('swapped'), `getEntry ${subject}`)
      })
      const half = hostileKeys.filter((_, index) => index % 2 === 0)
      await backend.deleteMany(half)
      checkEqual(
        await backend.getMany(hostileKeys),
        hostileKeys.map((_, index) => (index % 2 === 0 ? undefined : bytes('swapped'))),
        'getMany after deleteMany of every other key',
      )
    },
  },
  {
    rule: 'R8',
    title: 'keys() answers hostile keys as they were given',
    async run(fixture) {
      const backend = await fixture.backend()
      if (!backend.supports.iteration) return fixture.declines()
      await backend.setMany(hostileKeys.map(key => [key, bytes('1')]))
      const keys = await collectKeys(backend)
      for (const key of hostileKeys) check(keys.delete(key), `keys() did not answer ${describe(key)}`)
      checkEqual([...keys], [], 'other keys that keys() answered')
    },
  },
  {
    rule: 'R8',
    title: 'what is no key is refused by every method, in every place, before anything is done',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('valid', bytes('old'))
      await Promise.all(
        Object.entries(keyedCalls).map(async ([name, call]) => {
          for (const invalid of invalidKeys) {
            const subject = `${name} with the key ${describe(invalid)}`
            const error = await checkRejects(() => call(backend, invalid as string), 'CACHE_INVALID_KEY', subject)
            checkEqual(error.outcome, writes.has(name) ? 'not-applied' : undefined, `outcome of ${subject}`)
          }
        }),
      )
      for (const invalid of [...invalidKeys, 'a'.repeat(8193)]) {
        const key = invalid as string
        await checkRejects(() => backend.getMany([key, 'valid']), 'CACHE_INVALID_KEY', 'getMany, in the first place')
        await checkRejects(
          () => backend.deleteMany([key, 'valid']),
          'CACHE_INVALID_KEY',
          'deleteMany, in the first place',
        )
      }
      checkEqual(await backend.getMany(['valid']), [bytes('old')], 'getMany of the valid key next to invalid ones')
    },
  },
  {
    rule: 'R8',
    title: 'no key can be taken for the hash of a long one',
    async run(fixture) {
      const backend = await fixture.backend()
      const long = ['x'.repeat(8192), 'é'.repeat(700), `@${'x'.repeat(3000)}`]
      for (const key of long) await backend.set(key, bytes('long'))
      for (const key of long) {
        const forged = forgedKeys(fixture.idPrefix, key)
        checkEqual(
          await backend.getMany(forged),
          forged.map(() => undefined),
          'getMany of keys that look like the hash of a long one',
        )
        await backend.setMany(forged.map(other => [other, bytes('forged')]))
        checkEqual(
          await backend.get(key),
          bytes('long'),
          'get of a long key after sets of keys that look like its hash',
        )
        await backend.deleteMany(forged)
        checkEqual(await backend.get(key), bytes('long'), 'get of a long key after such keys were deleted')
      }
    },
  },
  {
    rule: 'R9',
    title: 'no two keys share an entry, however alike they are',
    async run(fixture) {
      const backend = await fixture.backend()
      // A key that another one was taken for would be there already.
      await inLanes(hostileKeys, async key => {
        checkEqual(await backend.add(key, bytes(key)), true, `add of ${describe(key)}, which no other key is`)
      })
      const values = await backend.getMany(hostileKeys)
      for (const [index, key] of hostileKeys.entries()) {
        checkEqual(values[index], bytes(key), `getMany of the key ${describe(key)}`)
      }
      // None of the others may go with one that is deleted.
      const victims = hostileKeys.filter((_, index) => index % 3 === 0)
      await Promise.all(victims.map(key => backend.delete(key)))
      const left = await backend.getMany(hostileKeys)
      for (const [index, key] of hostileKeys.entries()) {
        const expected = index % 3 === 0 ? undefined : bytes(key)
        checkEqual(left[index], expected, `getMany of ${describe(key)} after others were deleted`)
      }
    },
  },
  {
    rule: 'R9',
    title: 'random keys that differ in one character are different',
    async run(fixture) {
      const backend = await fixture.backend()
      const alphabet = [...'aA \0%_*?:@#/.\\éßİ1', 'e\u0301', '😀', '\u200b']
      const keys = new Set<string>()
      while (keys.size < 200) {
        const base = Array.from({ length: 1 + fixture.random.below(6) }, () => fixture.random.pick(alphabet))
        keys.add(base.join(''))
        base[fixture.random.below(base.length)] = fixture.random.pick(alphabet)
        keys.add(base.join(''))
      }
      const all = [...keys]
      await backend.setMany(all.map(key => [key, bytes(key)]))
      const values = await backend.getMany(all)
      for (const [index, key] of all.entries()) checkEqual(values[index], bytes(key), `getMany of ${describe(key)}`)
    },
  },
  {
    rule: 'R10',
    title: 'namespaces made by namespace() never touch one another',
    async run(fixture) {
      const backend = await fixture.backend()
      await provesIsolation([
        ['itself', backend],
        ...hostileNames.map(name => [name, backend.namespace(name)] as const),
      ])
    },
  },
  {
    rule: 'R10',
    title: 'namespaces of backends never touch one another',
    rootOnly: true,
    async run(fixture) {
      const views: [string, CacheBackend][] = []
      for (const name of ['a', 'a:b', 'A', 'a_', 'a%', 'a*', 'aa', 'a?', 'a:', '@a:', 'a%3Ab', 'a ']) {
        views.push([name, await fixture.root({ namespace: fixture.name + name })])
        if (!views[0]?.[1].supports.shared && views.length > 1) break // one store each: there is nothing to keep apart
      }
      await provesIsolation(views)
    },
  },
  {
    rule: 'R10',
    title: 'the border between namespace and key cannot be moved',
    async run(fixture) {
      const backend = await fixture.backend()
      const places: [namespaces: string[], key: string][] = [
        [[], 'a:b:c'],
        [[], '@a:b:c'],
        [[], '@a:@b:c'],
        [[], '@@a:b'],
        [['a'], 'b:c'],
        [['a'], '@b:c'],
        [['a'], ':b:c'],
        [['a:b'], 'c'],
        [['a%3Ab'], 'c'],
        [['a:@b'], 'c'],
        [['a', 'b'], 'c'],
        [['@a'], 'b:c'],
        [['a', '@b'], 'c'],
        [['a:'], 'b:c'],
        [['a', 'b', 'c'], 'd'],
        [['a', 'b'], '@c:d'],
        [['a'], '@b:@c:d'],
        [['a'], '@#c'],
        [[], 'c'],
        [[], `${fixture.idPrefix}c`],
        [['a'], 'c'],
        [['a'], 'a:c'],
        [['a'], '@a:c'],
        [['a'], `${fixture.idPrefix}@a:c`],
        [['a', '#c'], 'd'],
      ]
      const views = places.map(([names, key]) => {
        const view = names.reduce((parent: CacheBackend, name) => parent.namespace(name), backend)
        return { view, key, path: describe([...names, key]) }
      })
      for (const { view, key, path } of views) checkEqual(await view.add(key, bytes(path)), true, `add at ${path}`)
      for (const { view, key, path } of views) checkEqual(await view.get(key), bytes(path), `get at ${path}`)
    },
  },
  {
    rule: 'R10',
    title: 'equal names make views of the same entries',
    async run(fixture) {
      const backend = await fixture.backend()
      const [one, two] = [backend.namespace('same'), backend.namespace('same')]
      await one.set('k', bytes('1'))
      checkEqual(await two.get('k'), bytes('1'), 'get by a second view of the namespace')
      checkEqual(await backend.get('k'), undefined, 'get by the parent')
      const deep = [backend, backend].map(view => view.namespace('a').namespace('b')) as [CacheBackend, CacheBackend]
      await deep[0].set('k', bytes('deep'))
      checkEqual(await deep[1].get('k'), bytes('deep'), 'get by a second view of a nested namespace')
      checkEqual(one.name, backend.name, 'name of a view')
    },
  },
  {
    rule: 'R10',
    title: 'every method keeps to its namespace',
    async run(fixture) {
      const backend = await fixture.backend()
      const [inner, other] = [backend.namespace('inner'), backend.namespace('other')]
      for (const view of [backend, other]) {
        await view.set('k', bytes('kept'), { ttl: 1e6 })
        await view.set('n', bytes('7'))
      }
      checkEqual(await inner.getMany(['k', 'n']), [undefined, undefined], 'getMany of keys of other namespaces')
      checkEqual(await inner.has('k'), false, 'has of a key of another namespace')
      checkEqual(await inner.touch('k', { ttl: undefined }), false, 'touch of a key of another namespace')
      checkEqual(await inner.delete('k'), false, 'delete of a key of another namespace')
      checkEqual(
        await inner.compareAndDelete('k', bytes('kept')),
        false,
        'compareAndDelete of a key of another namespace',
      )
      checkEqual(await inner.increment('n'), 1, 'increment of a key of another namespace')
      checkEqual(await inner.add('k', bytes('inner')), true, 'add of a key of another namespace')
      await inner.deleteMany(['k', 'n'])
      for (const view of [backend, other]) {
        checkEqual(await view.getMany(['k', 'n']), [bytes('kept'), bytes('7')], 'getMany of what another namespace has')
        check((await view.getEntry('k'))?.ttl !== undefined, 'touch in one namespace changed a deadline in another')
      }
      if (!backend.supports.iteration) return
      await inner.set('only inner', bytes('1'))
      checkEqual([...(await collectKeys(inner))], ['only inner'], 'keys() of the inner namespace')
      checkEqual([...(await collectKeys(backend))].sort(), ['k', 'n'], 'keys() of the outer namespace')
    },
  },
  {
    rule: 'R10',
    title: 'what is no namespace is refused at once',
    async run(fixture) {
      const backend = await fixture.backend()
      for (const name of invalidNames) {
        let thrown: unknown
        try {
          backend.namespace(name as string)
        } catch (error) {
          thrown = error
        }
        check(thrown !== undefined, `namespace(${describe(name)}): expected it to throw`)
        await checkFails(() => Promise.reject(thrown), 'CACHE_INVALID_ARGUMENT', `namespace(${describe(name)})`)
      }
      const longest = backend.namespace('n'.repeat(256))
      await longest.set('k', bytes('1'))
      checkEqual(await longest.get('k'), bytes('1'), 'get in a namespace whose name has 256 bytes')
      await longest.set('K'.repeat(8192), bytes('2'))
      checkEqual(await longest.get('K'.repeat(8192)), bytes('2'), 'get of the longest key in the longest namespace')
    },
  },
  {
    rule: 'R40',
    title: 'keys, names and values that read like commands are only data',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('witness', bytes('1'))
      await inLanes(hostileTexts, async text => {
        const view = backend.namespace(text)
        await view.set(text, bytes(text), { ttl: 1e6 })
        const subject = `with ${describe(text)} as namespace, key and value`
        const twice = bytes(`${text}${text}`)
        checkEqual(await view.get(text), bytes(text), `get ${subject}`)
        checkEqual(await view.compareAndSet(text, bytes(text), twice), true, `compareAndSet ${subject}`)
        checkEqual(await view.getMany([text]), [twice], `getMany ${subject}`)
        await view.clear()
        checkEqual(await view.get(text), undefined, `get after clear ${subject}`)
        checkEqual(await backend.get('witness'), bytes('1'), `get of a witness after calls ${subject}`)
      })
    },
  },
]

/** Every view stores under the same keys, and every view has its own. */
async function provesIsolation(views: readonly (readonly [name: string, view: CacheBackend])[]): Promise<void> {
  await inLanes(views, async ([name, view]) => {
    checkEqual(await view.add('k', bytes(name)), true, `add in the namespace ${describe(name)}`)
  })
  const read = async (): Promise<void> => {
    await Promise.all(
      views.map(async ([name, view]) => {
        checkEqual(await view.get('k'), bytes(name), `get in the namespace ${describe(name)}`)
      }),
    )
  }
  await read()
  await Promise.all(
    views.map(async ([name, view]) => {
      checkEqual(await view.getMany(['other']), [undefined], `getMany in the namespace ${describe(name)}`)
      checkEqual(await view.increment('n'), 1, `increment in the namespace ${describe(name)}`)
      checkEqual(await view.delete('n'), true, `delete in the namespace ${describe(name)}`)
    }),
  )
  await read()
}
