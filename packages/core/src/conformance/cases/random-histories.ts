// R34: random histories, of one caller at a time against a model, and of many at once against an order.
import type { CacheBackend } from '../../backend.ts'
import { isCacheError } from '../../errors.ts'
import type { CaseDefinition } from '../case.ts'
import { check, describe, fail } from '../check.ts'
import { firstViolation, isLinearizable, type Operation, type Register } from '../linearizability.ts'
import { type Command, printCommands, randomCommand, runCommands, shrink } from '../model.ts'
import type { Random } from '../random.ts'
import { bytes } from '../sample.ts'

/** How long the random parts go on, in milliseconds, after the least that they do. */
const BUDGET = 600
const MIN_ROUNDS = 3
const MAX_ROUNDS = 60
const COMMANDS = 60
const MAX_EVICTIONS = 2

export const historyCases: readonly CaseDefinition[] = [
  {
    rule: 'R34',
    title: 'random calls answer what a simple model answers',
    timeout: 20_000,
    async run(fixture) {
      const clients = await fixture.clients(2)
      const { iteration } = clients[0].supports
      let rounds = 0
      const attempt = async (commands: readonly Command[]): ReturnType<typeof runCommands> => {
        await clients[0].clear()
        rounds++
        return runCommands(commands, clients, fixture.clock)
      }
      const end = performance.now() + BUDGET
      while (rounds < MIN_ROUNDS || (rounds < MAX_ROUNDS && performance.now() < end)) {
        const commands = Array.from({ length: COMMANDS }, () =>
          randomCommand(fixture.random, clients.length, fixture.clock.isFrozen, iteration),
        )
        const violation = await attempt(commands)
        if (violation === undefined) continue
        const failing = commands.slice(0, violation.step + 1)
        const smallest = await shrink(failing, async shorter => (await attempt(shorter)) !== undefined, 3000)
        const { reason } = (await attempt(smallest)) ?? violation
        fail(`the last of these calls: ${reason}\n${printCommands(smallest)}\n`)
      }
    },
  },
  {
    rule: 'R34',
    title: 'concurrent calls of several clients have an order in which they could have run',
    timeout: 20_000,
    async run(fixture) {
      const clients = await fixture.clients(3)
      const end = performance.now() + BUDGET
      for (let round = 0; round < MIN_ROUNDS || (round < MAX_ROUNDS && performance.now() < end); round++) {
        await clients[0].clear()
        checkOrder(await recordHistory(clients, fixture.random), clients[0].supports.evicts)
      }
    },
  },
]

const REGISTERS = ['r1', 'r2']
const COUNTERS = ['n1']
const LANES = 2
const STEPS = 14

/** Lets several lanes of each client call at once, and writes down what they saw, by key. */
async function recordHistory(clients: readonly CacheBackend[], random: Random): Promise<Map<string, Operation[]>> {
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
      try {
        answer = await call()
        end = performance.now()
      } catch (error) {
        if (!isCacheError(error)) throw error
        if (error.outcome !== 'unknown') return // a read that failed, or a write that was not applied, says nothing
      }
      for (const [index, key] of keys.entries()) {
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
function checkOrder(history: ReadonlyMap<string, readonly Operation[]>, evicts: boolean): void {
  let evictions = 0
  for (const [key, operations] of history) {
    while (!isLinearizable(operations, evictions)) {
      evictions++
      check(
        evicts && evictions <= MAX_EVICTIONS,
        `no order of these calls on ${key} explains their answers:\n${firstViolation(operations, evictions - 1)}\n`,
      )
    }
  }
}

function text(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
}
