// R27 to R29: from the constructor to close().
import { AsyncLocalStorage, createHook } from 'node:async_hooks'
import type { CacheBackend } from '../../backend.ts'
import type { BackendOptions } from '../../base-backend.ts'
import { allCalls, collectKeys, writes } from '../calls.ts'
import type { CaseDefinition } from '../case.ts'
import { check, checkEqual, checkFails, checkRejects, describe } from '../check.ts'
import { bytes } from '../sample.ts'

const INVALID_TIMEOUTS: readonly unknown[] = [
  0,
  -1,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 31,
  '1000',
  null,
  {},
  [1000],
]
const INVALID_NAMESPACES: readonly unknown[] = ['', 'a'.repeat(257), '\ud800', null, 1, {}, ['a']]
const INVALID_CLOCKS: readonly unknown[] = [0, null, 'now', {}, new Date()]

export const lifeCycleCases: readonly CaseDefinition[] = [
  {
    rule: 'R27',
    title: 'options are checked at once, and the message names the offending value',
    rootOnly: true,
    async run(fixture) {
      const invalid: [option: string, value: unknown][] = [
        ...INVALID_TIMEOUTS.map((value): [string, unknown] => ['timeout', value]),
        ...INVALID_NAMESPACES.map((value): [string, unknown] => ['namespace', value]),
        ...INVALID_CLOCKS.map((value): [string, unknown] => ['now', value]),
      ]
      for (const [option, value] of invalid) {
        const subject = `create({ ${option}: ${describe(value)} })`
        const call = (): Promise<unknown> => fixture.root({ [option]: value } as BackendOptions)
        const { message } = await checkFails(call, 'CACHE_INVALID_ARGUMENT', subject)
        check(message.includes(option), `${subject}: the message does not name the option: ${message}`)
        if (typeof value === 'number')
          check(message.includes(String(value)), `${subject}: the message lacks the value: ${message}`)
      }
    },
  },
  {
    rule: 'R27',
    title: 'options reach the backend: its namespace and its clock',
    rootOnly: true,
    async run(fixture) {
      const [one, two] = [await fixture.root(), await fixture.root({ namespace: `${fixture.name}-other` })]
      await one.set('k', bytes('1'))
      checkEqual(
        await two.get('k'),
        undefined,
        'get by a backend with another namespace (does create() pass its options on?)',
      )
      if (!fixture.clock.isFrozen) return
      await one.set('k', bytes('1'), { ttl: 1e9 })
      await fixture.clock.pass(1e9)
      checkEqual(await one.get('k'), undefined, 'get after the clock was moved (does create() pass `now` on?)')
    },
  },
  {
    rule: 'R27',
    title: 'the first call connects, whichever it is',
    async run(fixture) {
      for (const [name, call] of Object.entries(allCalls)) {
        if (name === 'keys') continue
        const backend = await fixture.backend()
        await call(backend, 'k').catch(error => check(false, `${name} as the first call: ${describe(error)}`))
        await backend.close()
      }
    },
  },
  {
    rule: 'R27',
    title: 'concurrent first calls all succeed',
    async run(fixture) {
      const backend = await fixture.backend()
      const sums = await Promise.all(Array.from({ length: 20 }, () => backend.increment('n')))
      checkEqual(Math.max(...sums), 20, 'the highest of 20 increments that were the first calls')
      const other = await fixture.backend()
      const calls = Object.entries(allCalls).filter(([name]) => name !== 'keys')
      await Promise.all([
        other.open(),
        other.open(),
        ...calls.map(([, call]) => call(other, 'k').catch(checkCounterOnly)),
      ])
    },
  },
  {
    rule: 'R27',
    title: 'many backends that start together all work',
    rootOnly: true,
    async run(fixture) {
      const backends = await Promise.all(Array.from({ length: 10 }, () => fixture.backend()))
      await Promise.all(
        backends.map((backend, index) => (index % 2 === 0 ? backend.open() : backend.set(`k${index}`, bytes('1')))),
      )
      const sums = await Promise.all(backends.map(backend => backend.increment('n')))
      if (backends[0]?.supports.shared)
        checkEqual(Math.max(...sums), 10, 'the highest of one increment by each backend')
      await Promise.all(backends.map(backend => backend.close()))
    },
  },
  {
    rule: 'R27',
    title: 'open() may be called at any time, and again',
    async run(fixture) {
      const backend = await fixture.backend()
      await Promise.all([backend.open(), backend.open(), backend.open()])
      await backend.open()
      await backend.set('k', bytes('1'))
      await backend.open()
      checkEqual(await backend.get('k'), bytes('1'), 'get after open()')
      const view = backend.namespace('view')
      await view.open()
      checkEqual(await view.get('k'), undefined, 'get in a namespace that was opened')
    },
  },
  {
    rule: 'R28',
    title: 'after close() every call rejects with CACHE_CLOSED',
    async run(fixture) {
      const backend = await fixture.backend()
      const view = backend.namespace('view')
      await backend.set('k', bytes('1'))
      await backend.close()
      await rejectsEverything(backend, 'after close()')
      if (fixture.scope === 'namespace') return
      await rejectsEverything(view, 'on a namespace of a closed backend')
      await checkFails(
        async () => backend.namespace('late').get('k'),
        'CACHE_CLOSED',
        'namespace() of a closed backend',
      )
    },
  },
  {
    rule: 'R28',
    title: 'while close() is under way every new call rejects with CACHE_CLOSED',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('1'))
      const closing = backend.close()
      await rejectsEverything(backend, 'while close() is under way')
      await closing
    },
  },
  {
    rule: 'R28',
    title: 'a backend that never opened closes, and stays closed',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.close()
      await rejectsEverything(backend, 'after close() of a backend that never opened')
      const opening = await fixture.backend()
      const first = opening.set('k', bytes('1')).then(
        () => undefined,
        error => error?.code,
      )
      await opening.close()
      const code = await first
      check(code === undefined || code === 'CACHE_CLOSED', `set before close(), while it opens: got ${describe(code)}`)
      await rejectsEverything(opening, 'after close() of a backend that was opening')
    },
  },
  {
    rule: 'R28',
    title: 'close() may be called again, and at once by several',
    async run(fixture) {
      const backend = await fixture.backend()
      await backend.set('k', bytes('1'))
      await Promise.all([backend.close(), backend.close(), backend.close()])
      checkEqual(await backend.close(), undefined, 'what a further close() resolves to')
      const disposed = await fixture.backend()
      await disposed.set('k', bytes('1'))
      await disposed[Symbol.asyncDispose]()
      await checkRejects(() => disposed.get('k'), 'CACHE_CLOSED', 'get after asyncDispose')
    },
  },
  {
    rule: 'R28',
    title: 'close() waits for what is under way',
    async run(fixture) {
      const [backend, other] = await fixture.clients(2)
      const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
      await backend.open()
      const order: string[] = []
      const writing = keys.map(key => backend.set(key, bytes(key)).then(() => order.push('set')))
      const batch = backend.setMany(keys.map(key => [`batch ${key}`, bytes(key)])).then(() => order.push('setMany'))
      const closing = backend.close().then(() => order.push('close'))
      await Promise.all([...writing, batch, closing])
      checkEqual(order.at(-1), 'close', 'what settled last')
      if (other === undefined || !backend.supports.shared) return
      checkEqual(
        await other.getMany(keys),
        keys.map(bytes),
        'getMany by another client of what was under way at close()',
      )
    },
  },
  {
    rule: 'R28',
    title: 'close() settles while clear(), keys() and batches are under way, and so do they',
    async run(fixture) {
      const backend = await fixture.backend()
      const keys = Array.from({ length: 300 }, (_, index) => `k${index}`)
      await backend.setMany(keys.map(key => [key, bytes(key)]))
      const calls: Promise<unknown>[] = [backend.getMany(keys), backend.deleteMany(keys), backend.clear()]
      if (backend.supports.iteration) calls.push(collectKeys(backend))
      const settled = Promise.allSettled(calls)
      await backend.close()
      for (const result of await settled) {
        if (result.status === 'rejected')
          checkEqual(result.reason?.code, 'CACHE_CLOSED', 'code of a call that close() ended')
      }
    },
  },
  {
    rule: 'R28',
    title: 'closing a namespace ends that view only',
    async run(fixture) {
      const backend = await fixture.backend()
      const [view, twin, sibling] = [backend.namespace('view'), backend.namespace('view'), backend.namespace('sibling')]
      await view.set('k', bytes('1'))
      await view.close()
      await rejectsEverything(view, 'on a closed view')
      checkEqual(await twin.get('k'), bytes('1'), 'get by another view of the same namespace')
      await sibling.set('k', bytes('2'))
      checkEqual(await sibling.get('k'), bytes('2'), 'get by another namespace')
      await backend.set('k', bytes('3'))
      checkEqual(await backend.get('k'), bytes('3'), 'get by the backend whose namespace was closed')
      checkEqual(await backend.namespace('view').get('k'), bytes('1'), 'get by a new view of the namespace')
    },
  },
  {
    rule: 'R28',
    title: 'closing one backend leaves the others on the store alone',
    async run(fixture) {
      const [one, two = one, three = one] = await fixture.clients(3)
      if (!one.supports.shared) return
      for (const client of [one, two, three]) await client.increment('n')
      await one.close()
      checkEqual(await two.increment('n'), 4, 'increment after another backend was closed')
      await two.close()
      checkEqual(await three.increment('n'), 5, 'increment after two others were closed')
    },
  },
  {
    rule: 'R28',
    title: 'an iteration over keys() may be left early, and ends when the backend closes',
    async run(fixture) {
      const backend = await fixture.backend()
      if (!backend.supports.iteration) return fixture.declines()
      await backend.setMany(Array.from({ length: 500 }, (_, index) => [`k${index}`, bytes('1')]))
      for (let round = 0; round < 3; round++) {
        for await (const key of backend.keys()) {
          check(key.startsWith('k'), `keys(): ${describe(key)} is none of the keys`)
          break
        }
      }
      const iterator = backend.keys()[Symbol.asyncIterator]()
      await iterator.next()
      await backend.close()
      await checkRejects(() => iterator.next(), 'CACHE_CLOSED', 'next() of an iteration after close()')
    },
  },
  {
    rule: 'R28',
    title: 'close() leaves no timer and no socket behind',
    rootOnly: true,
    async run(fixture) {
      const left = await leftBehind(async () => {
        const backend = await fixture.root()
        await backend.set('k', bytes('1'), { ttl: 1e6 })
        await Promise.all([
          backend.get('k'),
          backend.increment('n'),
          backend.getMany(['k', 'n']),
          backend.namespace('x').get('k'),
        ])
        if (backend.supports.iteration) await collectKeys(backend)
        await backend.clear()
        await backend.close()
      })
      checkEqual(left, [], 'what keeps the process alive after close()')
    },
  },
  {
    rule: 'R29',
    title: 'an idle backend has no timer that keeps the process alive',
    rootOnly: true,
    async run(fixture) {
      let backend: CacheBackend | undefined
      const left = await leftBehind(async () => {
        backend = await fixture.root()
        await backend.set('k', bytes('1'), { ttl: 1e6 })
        await backend.get('k')
      })
      // A connection may keep the process alive, and timers belong to it.
      if (left.every(type => type === 'Timeout'))
        checkEqual(left, [], 'what keeps the process alive beside an idle backend')
      await backend?.close()
    },
  },
]

/** The only code that a valid call may reject with here: `increment` may come after `set` of text to the same key. */
function checkCounterOnly(error: unknown): void {
  if ((error as { code?: unknown })?.code !== 'CACHE_NOT_A_COUNTER')
    check(false, `a concurrent first call: ${describe(error)}`)
}

async function rejectsEverything(view: CacheBackend, when: string): Promise<void> {
  await Promise.all(
    Object.entries(allCalls).map(async ([name, call]) => {
      const error = await checkRejects(() => call(view, 'k'), 'CACHE_CLOSED', `${name} ${when}`)
      if (writes.has(name)) checkEqual(error.outcome, 'not-applied', `outcome of ${name} ${when}`)
    }),
  )
}

/** Timers and handles that came to be in `work` and, soon after it, still keep the process alive. By their types. */
async function leftBehind(work: () => Promise<void>): Promise<string[]> {
  const inWork = new AsyncLocalStorage<true>()
  const resources = new Map<number, { type: string; resource: { hasRef?: () => boolean; _destroyed?: boolean } }>()
  const hook = createHook({
    init(id, type, _trigger, resource) {
      if ((type === 'Timeout' || type.endsWith('WRAP')) && inWork.getStore()) resources.set(id, { type, resource })
    },
    destroy(id) {
      resources.delete(id)
    },
  })
  const alive = (): string[] =>
    [...resources.values()]
      .filter(({ type, resource }) => HANDLES.has(type) && resource._destroyed !== true && resource.hasRef?.() === true)
      .map(({ type }) => type)
  hook.enable()
  try {
    await inWork.run(true, work)
    // Sockets are closed a little later than their owners say.
    for (const end = performance.now() + 1000; alive().length > 0 && performance.now() < end; ) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    return alive()
  } finally {
    hook.disable()
  }
}

const HANDLES: ReadonlySet<string> = new Set(['Timeout', 'TCPWRAP', 'PIPEWRAP', 'UDPWRAP', 'TTYWRAP', 'PROCESSWRAP'])
