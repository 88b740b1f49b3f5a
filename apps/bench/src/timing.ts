import { deepStrictEqual, notStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { Bench } from 'tinybench'
import type { Case, Contestant, Operation, Size, Subject, Suite } from './suite.ts'
import { batchSize, keysOf, makeValue, shuffled } from './workload.ts'

/** The least that a timed batch of calls takes, in milliseconds: next to it the clock costs nothing. */
const BATCH_TIME = 2

/** Milliseconds. */
const clocks: Readonly<Record<Suite['clock'], () => number>> = {
  wall: () => performance.now(),
  processor: () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  },
}

/** Calls whose promises are counted. */
const COUNTED_CALLS = 100

/** An operation with the arguments that it is called with, one after the other, over and over. */
interface Calls {
  readonly call: (argument: never) => unknown
  readonly arguments: readonly unknown[]
}

interface Entry {
  readonly key: string
  readonly value: unknown
}

/** One operation of an opened library on keys that are all cached; its answers have been checked. */
export interface Timing {
  /** Calls per second, from calls made for at least this many milliseconds. */
  run(milliseconds: number): Promise<number>
  /** Promises that the library creates in a call. */
  promisesPerCall(): Promise<number>
}

/** Fills the library and checks what it answers. `undefined`: it has no such operation. */
export async function prepareTiming(
  suite: Suite,
  contestant: Contestant,
  subject: Subject,
  { operation, size, concurrency }: Case,
  keyCount: number,
): Promise<Timing | undefined> {
  const held = filled.get(subject)?.get(size)
  const entries = held ?? entriesOf(suite, size, keyCount)
  const calls = callsOf(subject, operation, shuffled(entries))
  if (calls === undefined) return undefined
  if (held === undefined) await fill(subject, size, entries)
  await check(suite, subject, operation, entries)
  const { synchronous = false } = contestant
  const batch = (count: number): (() => unknown) =>
    synchronous ? synchronousBatch(calls, count) : asynchronousBatch(calls, count, concurrency)
  const now = clocks[suite.clock]
  let count = await enoughCalls(batch, concurrency, now)
  return {
    async run(milliseconds) {
      globalThis.gc?.()
      const bench = new Bench({ now, time: milliseconds, iterations: 1, warmup: false, throws: true })
      bench.add('batch', batch(count), { async: !synchronous })
      const [task] = await bench.run()
      ok(task?.result.state === 'completed')
      const { mean } = task.result.latency
      if (mean < BATCH_TIME / 2) count *= 2 // it has become faster since it was sized
      return (count / mean) * 1000
    },
    promisesPerCall: () => (synchronous ? Promise.resolve(0) : countPromises(calls)),
  }
}

/** What a library holds. */
const filled = new WeakMap<Subject, Map<Size, readonly Entry[]>>()

async function fill(subject: Subject, size: Size, entries: readonly Entry[]): Promise<void> {
  for (const { key, value } of entries) await subject.set(key, value)
  filled.set(subject, (filled.get(subject) ?? new Map()).set(size, entries))
}

function entriesOf({ value = makeValue }: Suite, size: Size, count: number): Entry[] {
  return keysOf(size, count).map((key, index) => ({ key, value: value(size, index) }))
}

function callsOf(
  { set, hit, get, getMany }: Subject,
  operation: Operation,
  entries: readonly Entry[],
): Calls | undefined {
  const keys = entries.map(entry => entry.key)
  switch (operation) {
    case 'hit':
      return hit && { call: hit, arguments: keys }
    case 'get':
      return get && { call: get, arguments: keys }
    case 'set':
      return { call: ({ key, value }: Entry) => set(key, value), arguments: entries }
    case 'getMany':
      return getMany && { call: getMany, arguments: batchesOf(keys) }
  }
}

function batchesOf(keys: readonly string[]): string[][] {
  return Array.from({ length: keys.length / batchSize }, (_, index) =>
    keys.slice(index * batchSize, (index + 1) * batchSize),
  )
}

/** Throws unless the library answers with what was set: what it does faster than others must be the same work. */
async function check(suite: Suite, subject: Subject, operation: Operation, entries: readonly Entry[]): Promise<void> {
  const read = operation === 'hit' ? subject.hit : (subject.get ?? subject.hit)
  ok(read !== undefined)
  for (const { key, value } of entries) {
    const answer: unknown = await read(key)
    deepStrictEqual(answer, value)
    if (suite.answers === 'shared') strictEqual(answer, value)
    if (suite.answers === 'own') {
      notStrictEqual(answer, value)
      notStrictEqual(answer, await read(key))
    }
  }
  if (operation === 'getMany') {
    const keys = entries.map(entry => entry.key)
    deepStrictEqual(
      await subject.getMany?.(keys),
      entries.map(entry => entry.value),
    )
  }
}

/** How many calls make up a batch. */
async function enoughCalls(
  batch: (count: number) => () => unknown,
  concurrency: number,
  now: () => number,
): Promise<number> {
  for (let count = concurrency; ; count *= 2) {
    const start = now()
    await batch(count)()
    if (now() - start >= BATCH_TIME) return count
  }
}

function synchronousBatch({ call, arguments: list }: Calls, count: number): () => unknown {
  let next = 0
  return () => {
    let answer: unknown
    for (let done = 0; done < count; done++) {
      answer = call(list[next] as never)
      next = next + 1 === list.length ? 0 : next + 1
    }
    return answer
  }
}

/** `concurrency` callers, each of which awaits an answer before it makes its next call. */
function asynchronousBatch({ call, arguments: list }: Calls, count: number, concurrency: number): () => unknown {
  let next = 0
  const caller = async (): Promise<void> => {
    for (let done = 0; done < count / concurrency; done++) {
      const argument = list[next] as never
      next = next + 1 === list.length ? 0 : next + 1
      await call(argument)
    }
  }
  return () => Promise.all(Array.from({ length: concurrency }, caller))
}

async function countPromises({ call, arguments: list }: Calls): Promise<number> {
  const settled = Promise.resolve()
  // `await` may need promises of its own, which are not the library's.
  const ofAwait = await promisesCreatedBy(() => settled)
  const all = await promisesCreatedBy(index => call(list[index % list.length] as never))
  return Math.round((all - ofAwait) / COUNTED_CALLS)
}

async function promisesCreatedBy(call: (index: number) => unknown): Promise<number> {
  let created = 0
  const hook = createHook({
    init(_id, type) {
      if (type === 'PROMISE') created++
    },
  }).enable()
  try {
    for (let index = 0; index < COUNTED_CALLS; index++) await call(index)
    return created
  } finally {
    hook.disable()
  }
}
