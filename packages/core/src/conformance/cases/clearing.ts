// R11: clear().
import type { CacheBackend } from '../../backend.ts'
import { collectKeys } from '../calls.ts'
import type { CaseDefinition } from '../case.ts'
import { checkEqual, describe } from '../check.ts'
import { hostileKeys, hostileNames } from '../corpora.ts'
import { bytes } from '../sample.ts'

export const clearingCases: readonly CaseDefinition[] = [
  {
    rule: 'R11',
    title: 'clear() removes every entry, and the namespace goes on working',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.clear()
      await backend.setMany(
        hostileKeys.map((key, index) => [key, bytes('1'), { ttl: index % 2 === 0 ? 1e6 : undefined }]),
      )
      await backend.increment('counter', 5)
      await backend.clear()
      checkEqual(
        await backend.getMany(hostileKeys),
        hostileKeys.map(() => undefined),
        'getMany after clear()',
      )
      checkEqual(await backend.has('a'), false, 'has after clear()')
      checkEqual(await backend.getEntry('a'), undefined, 'getEntry after clear()')
      checkEqual(await backend.touch('a', { ttl: 1000 }), false, 'touch after clear()')
      checkEqual(await backend.delete('a'), false, 'delete after clear()')
      checkEqual(await backend.compareAndSet('a', bytes('1'), bytes('2')), false, 'compareAndSet after clear()')
      checkEqual(await backend.compareAndDelete('a', bytes('1')), false, 'compareAndDelete after clear()')
      checkEqual(await backend.increment('counter'), 1, 'increment after clear()')
      checkEqual(await backend.add('a', bytes('new')), true, 'add after clear()')
      await backend.set('b', bytes('new'))
      checkEqual(
        await backend.getMany(['a', 'b']),
        [bytes('new'), bytes('new')],
        'getMany of what was written after clear()',
      )
      await backend.clear()
      await backend.clear()
      checkEqual(
        await backend.getMany(['a', 'b', 'counter']),
        [undefined, undefined, undefined],
        'getMany after a second clear()',
      )
      if (backend.supports.iteration) checkEqual([...(await collectKeys(backend))], [], 'keys() after clear()')
    },
  },
  {
    rule: 'R11',
    title: 'clear() of one namespace leaves its parent and its siblings alone',
    async run(fixture) {
      const backend = await fixture.backend()
      const views = hostileNames.map(name => [name, backend.namespace(name)] as const)
      const fill = async (name: string, view: CacheBackend): Promise<void> => {
        await view.setMany([
          ['k', bytes(name)],
          ['x'.repeat(3000), bytes(name)],
        ])
      }
      await fill('itself', backend)
      await backend.set('a:k', bytes('1'))
      await Promise.all(views.map(([name, view]) => fill(name, view)))
      const cleared = new Set([
        'a',
        'a_',
        'a%',
        'a*',
        '*',
        '%',
        '_',
        '?',
        'a?',
        'a[b]',
        '.',
        '@',
        ':',
        'é',
        '^a',
        'a|b',
        '\0',
        'x'.repeat(200),
      ])
      for (const [name, view] of views) if (cleared.has(name)) await view.clear()
      for (const [name, view] of views) {
        const expected = cleared.has(name) ? undefined : bytes(name)
        checkEqual(
          await view.getMany(['k', 'x'.repeat(3000)]),
          [expected, expected],
          `getMany in the namespace ${describe(name)} after others were cleared`,
        )
      }
      checkEqual(
        await backend.getMany(['k', 'x'.repeat(3000), 'a:k']),
        [bytes('itself'), bytes('itself'), bytes('1')],
        'getMany in the parent of the cleared namespaces',
      )
    },
  },
  {
    rule: 'R11',
    title: 'clear() of one backend leaves those with other namespaces alone',
    rootOnly: true,
    async run(fixture) {
      const suffixes = ['', ':', ':a', '_', '%', '*', 'x', '@x:', 'a']
      const roots = await Promise.all(suffixes.map(suffix => fixture.root({ namespace: fixture.name + suffix })))
      await Promise.all(roots.map((root, index) => root.set('k', bytes(String(index)))))
      const cleared = [0, 3, 4, 5]
      for (const index of cleared) {
        await roots[index]?.clear()
        checkEqual(await roots[index]?.get('k'), undefined, 'get after clear()')
      }
      for (const [index, root] of roots.entries()) {
        if (cleared.includes(index)) continue
        const subject = `get in a namespace that ends in ${describe(suffixes[index])} after others were cleared`
        checkEqual(await root.get('k'), bytes(String(index)), subject)
      }
    },
  },
  {
    rule: 'R11',
    title: 'clear() takes the namespaces inside along, however deep',
    async run(fixture) {
      const backend = await fixture.backend()
      const [outer, beside] = [backend.namespace('outer'), backend.namespace('beside')]
      const inside = [
        outer,
        outer.namespace('a'),
        outer.namespace('a').namespace('b'),
        outer.namespace('%*'),
        outer.namespace('@:'),
      ]
      for (const view of [backend, beside, ...inside]) {
        await view.setMany([
          ['k', bytes('1')],
          ['@k', bytes('1')],
          ['x'.repeat(5000), bytes('1')],
        ])
      }
      await outer.clear()
      for (const view of inside) {
        checkEqual(
          await view.getMany(['k', '@k', 'x'.repeat(5000)]),
          [undefined, undefined, undefined],
          'getMany inside a cleared namespace',
        )
        checkEqual(await view.add('k', bytes('2')), true, 'add inside a cleared namespace')
      }
      for (const view of [backend, beside]) {
        checkEqual(
          await view.getMany(['k', '@k', 'x'.repeat(5000)]),
          [bytes('1'), bytes('1'), bytes('1')],
          'getMany beside it',
        )
      }
      await outer.namespace('a').clear()
      checkEqual(await outer.get('k'), bytes('2'), 'get after a namespace inside was cleared')
      checkEqual(await outer.namespace('a').namespace('b').get('k'), undefined, 'get two namespaces down')
      await backend.clear()
      for (const view of [beside, ...inside]) checkEqual(await view.get('k'), undefined, 'get after clear() at the top')
    },
  },
  {
    rule: 'R11',
    title: 'clear() is done for every client when it resolves',
    async run(fixture) {
      const [one, two] = await fixture.clients(2)
      if (two === undefined) return
      for (let round = 0; round < 5; round++) {
        await one.setMany(Array.from({ length: 20 }, (_, index) => [`k${index}`, bytes('1')]))
        await two.set('theirs', bytes('1'))
        checkEqual(await two.get('k0'), bytes('1'), 'get by another client before clear()')
        await one.clear()
        checkEqual(await one.get('theirs'), undefined, 'get of what another client had set, after clear()')
        const answers = await two.getMany(Array.from({ length: 20 }, (_, index) => `k${index}`))
        checkEqual(answers.filter(value => value !== undefined).length, 0, 'entries that another client still sees')
        checkEqual(await two.has('k1'), false, 'has by another client after clear()')
        checkEqual(await two.add('k2', bytes('2')), true, 'add by another client after clear()')
        checkEqual(await one.get('k2'), bytes('2'), 'get of what another client added after clear()')
      }
    },
  },
  {
    rule: 'R11',
    title: 'clear() removes 1,700 entries, and not one of its neighbour',
    async run(fixture) {
      const backend = await fixture.backend()
      const [full, neighbour] = [backend.namespace('full'), backend.namespace('full_')]
      const keys = Array.from({ length: 1700 }, (_, index) => `key ${index}`)
      await Promise.all([full, neighbour].map(view => view.setMany(keys.map(key => [key, bytes(key)]))))
      await full.clear()
      const left = (await full.getMany(keys)).filter(value => value !== undefined).length
      checkEqual(left, 0, 'entries that survived clear()')
      const kept = (await neighbour.getMany(keys)).filter(value => value !== undefined).length
      checkEqual(kept, keys.length, 'entries of the neighbour that survived')
      if (backend.supports.iteration) checkEqual((await collectKeys(full)).size, 0, 'keys() after clear()')
    },
  },
  {
    rule: 'R11',
    title: 'clear() ends and does its work while others write',
    async run(fixture) {
      const [backend, writer = backend] = await fixture.clients(2)
      const view = backend.namespace('busy')
      const writing = writer.namespace('busy')
      const neighbour = writer.namespace('busy2')
      const keys = Array.from({ length: 200 }, (_, index) => `old ${index}`)
      await view.setMany(keys.map(key => [key, bytes('old')]))
      let cleared = false
      let written = 0
      const end = performance.now() + 5000
      const clear = async (): Promise<void> => {
        await view.clear()
        cleared = true
      }
      const writers = Array.from({ length: 4 }, async (_, lane) => {
        while (!cleared && performance.now() < end) {
          await writing.set(`new ${lane} ${written++ % 50}`, bytes('new'))
          await neighbour.set(`kept ${written}`, bytes('kept'))
        }
        return cleared
      })
      const [, ...ended] = await Promise.all([clear(), ...writers])
      checkEqual(ended.includes(false), false, 'whether clear() went on until nobody wrote any more')
      const left = (await writing.getMany(keys)).filter(value => value !== undefined)
      checkEqual(left.length, 0, 'entries that were there before clear() and still are')
      checkEqual(await neighbour.get(`kept ${written}`), bytes('kept'), 'get of what was written next door meanwhile')
      await writing.set('after', bytes('1'))
      checkEqual(await view.get('after'), bytes('1'), 'get of what was set after clear() had resolved')
    },
  },
  {
    rule: 'R11',
    title: 'clear() by several clients at once leaves nothing, and nothing broken',
    async run(fixture) {
      const clients = await fixture.clients(4)
      const [backend] = clients
      const keys = Array.from({ length: 100 }, (_, index) => `k${index}`)
      for (let round = 0; round < 3; round++) {
        await backend.setMany(keys.map(key => [key, bytes('1')]))
        await Promise.all(clients.map(client => client.clear()))
        const left = (await backend.getMany(keys)).filter(value => value !== undefined)
        checkEqual(left.length, 0, 'entries that survived several clear()s')
        await backend.set('k0', bytes('again'))
        for (const client of clients)
          checkEqual(await client.get('k0'), bytes('again'), 'get of what was set afterwards')
      }
    },
  },
]
