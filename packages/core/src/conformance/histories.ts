// Histories of concurrent calls: made at random, written down, and put in order afterwards.
import type { CacheBackend } from '../backend.ts'
import { isCacheError } from '../errors.ts'
import { check, describe } from './check.ts'
import { firstViolation, isLinearizable, type Operation, type Register } from './linearizability.ts'
import type { Random } from './random.ts'
import { bytes } from './sample.ts'

const REGISTERS = ['r1', 'r2']
const COUNTERS = ['n1']
const LANES = 2
const STEPS = 14
/** Entries that a store which evicts may drop in one history: it is not full. */
const MAX_EVICTIONS = 2

/** Lets several lanes of each client call at once, and writes down what they saw, by key. */
export async function recordHistory(
  clients: readonly CacheBackend[],
  random: Random,
): Promise<Map<string, Operation[]>> {
  const history = new Map<string, Operation[]>([...REGISTERS, ...COUNTERS].map(key => [key, []]))
  let values = 0
  const lane = async (view: CacheBackend, who: number): Promise<void> => {
    const seen = new Map<string, string>()
    const record = async (
      keys: readonly string[],
      name: string,
      call: () => Promise<unknown>,
      apply: (register: Register, key: string) => ReturnType<Operation['apply']>,
      answerFor: (answer: unknown, index: number) => unknown = answer => answer,
    ): Promise<void> => {
      const start = performance.now()
      let answer: unknown
      let end = Number.POSITIVE_INFINITY
      /** What was not done, and so says nothing. */
      let undone: readonly string[] = []
      try {
        answer = await call()
        end = performance.now()
      } catch (error) {
        if (!isCacheError(error)) throw error
        // A batch that failed in part names that part, the rest is done.
        if (error.outcome === undefined) undone = keys
        else if (error.outcome === 'not-applied') undone = error.keys ?? keys
      }
      for (const [index, key] of keys.entries()) {
        if (undone.includes(key)) continue
        const own = answerFor(answer, index)
        if (typeof own === 'string') seen.set(key, own)
        const text = `client ${who + 1} ${name} ${key}: ${end === Number.POSITIVE_INFINITY ? 'unknown' : describe(own)}`
        history.get(key)?.push({ text, start, end, answer: own, apply: register => apply(register, key) })
      }
    }
    for (let step = 0; step < STEPS; step++) {
      const key = random.pick(REGISTERS)
      const value = `v${values++}`
      const expected = seen.get(key) ?? 'v0'
      const steps: (() => Promise<void>)[] = [
        () =>
          record(
            [key],
            'get',
            async () => text(await view.get(key)),
            same => ({ answer: same, next: same }),
          ),
        () =>
          record(
            [key],
            'has',
            () => view.has(key),
            same => ({ answer: same !== undefined, next: same }),
          ),
        () =>
          record(
            REGISTERS,
            'getMany',
            async () => (await view.getMany(REGISTERS)).map(text),
            same => ({ answer: same, next: same }),
            (answer, index) => (answer as unknown[])[index],
          ),
        () =>
          record(
            [key],
            `set ${value}`,
            () => view.set(key, bytes(value)),
            () => ({ answer: undefined, next: value }),
          ),
        () =>
          record(
            REGISTERS,
            `setMany ${value}`,
            () => view.setMany(REGISTERS.map(key => [key, bytes(value)])),
            () => ({ answer: undefined, next: value }),
          ),
        () =>
          record(
            [key],
            'delete',
            () => view.delete(key),
            old => ({ answer: old !== undefined, next: undefined }),
          ),
        () =>
          record(
            REGISTERS,
            'deleteMany',
            () => view.deleteMany(REGISTERS),
            () => ({ answer: undefined, next: undefined }),
          ),
        () =>
          record(
            [key],
            `add ${value}`,
            () => view.add(key, bytes(value)),
            old => ({ answer: old === undefined, next: old ?? value }),
          ),
        () =>
          record(
            [key],
            `compareAndSet ${expected} to ${value}`,
            () => view.compareAndSet(key, bytes(expected), bytes(value)),
            old => ({ answer: old === expected, next: old === expected ? value : old }),
          ),
        () =>
          record(
            [key],
            `compareAndDelete ${expected}`,
            () => view.compareAndDelete(key, bytes(expected)),
            old => ({ answer: old === expected, next: old === expected ? undefined : old }),
          ),
        () =>
          record(
            [key],
            'touch',
            () => view.touch(key, { ttl: 1e6 }),
            same => ({ answer: same !== undefined, next: same }),
          ),
        () => record(COUNTERS, 'increment', () => view.increment('n1'), count),
        () => record(COUNTERS, 'increment', () => view.increment('n1'), count),
        () =>
          record(
            COUNTERS,
            'get',
            async () => text(await view.get('n1')),
            same => ({ answer: same, next: same }),
          ),
        () =>
          record(
            COUNTERS,
            'delete',
            () => view.delete('n1'),
            old => ({ answer: old !== undefined, next: undefined }),
          ),
      ]
      await random.pick(steps)()
    }
  }
  await Promise.all(clients.flatMap((client, who) => Array.from({ length: LANES }, () => lane(client, who))))
  return history
}

function count(register: Register): ReturnType<Operation['apply']> {
  const sum = Number(register ?? 0) + 1
  return { answer: sum, next: String(sum) }
}

/** Where the store may drop entries, a few may be missing: but not many, as it is not full. */
export function checkOrder(history: ReadonlyMap<string, readonly Operation[]>, evicts: boolean): void {
  let evictions = 0
  for (const [key, operations] of history) {
    while (!isLinearizable(operations, evictions)) {
      evictions++
      check(
        evicts && evictions <= MAX_EVICTIONS,
        `no order of these calls on ${key} explains their answers:\n${firstViolation(operations, evictions - 1)}`,
      )
    }
  }
}

function text(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
}
