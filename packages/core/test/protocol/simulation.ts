// Caches on a simulated store, in which a scheduler decides what happens next: the answer of which call of the store, the
// end of which loader, the end of which pause. So any interleaving can be run, and run again.
import { InMemoryBackend } from '../../../memory/src/index.ts'
import { Random } from '../../src/conformance/random.ts'
import type { BackendEntry, BackendSupports, Cache, CacheBackend, CacheOptions, WriteOptions } from '../../src/index.ts'
import { Hub } from '../tiers/local-bus.ts'

export type CreateCache = (options: CacheOptions<unknown>) => Cache

/** Decides which of `count` things that could happen next does. */
export type Choose = (count: number) => number

interface Value {
  /** When its loader was called; of a value that was set, when that was done. */
  born: number
}

/** What happened, by a clock that ticks at each event. */
export interface History {
  /** Calls that ended: invalidations, and reads with the moment from which their value is. */
  readonly invalidations: { readonly name: string; readonly start: number; readonly end: number }[]
  readonly reads: { readonly name: string; readonly start: number; readonly value: Value }[]
  loads: number
}

export class Scheduler {
  readonly #choose: Choose
  readonly #waiting: (() => void)[] = []
  /** Who looks again and again whether something has changed: those would make infinitely many interleavings. */
  readonly #pausing: (() => void)[] = []
  #pauses = 0
  /** Whether an answer of the store comes at another moment than its effect. */
  readonly slowAnswers: boolean
  readonly mostPauses: number
  time = 0

  constructor(choose: Choose, slowAnswers: boolean, mostPauses: number) {
    this.mostPauses = mostPauses
    this.#choose = choose
    this.slowAnswers = slowAnswers
  }

  /** Resolves when it is the turn of whoever called. */
  turn(): Promise<void> {
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** The same for a pause: after some of them, others have their turn first. */
  pause(): Promise<void> {
    return new Promise(resolve => (this.#pauses++ < this.mostPauses ? this.#waiting : this.#pausing).push(resolve))
  }

  tick(): number {
    return ++this.time
  }

  /** Lets things happen, one at a time, until nothing is waiting. */
  async run(): Promise<void> {
    for (let steps = 0; ; steps++) {
      await new Promise(setImmediate)
      if (this.#waiting.length === 0) this.#waiting.push(...this.#pausing.splice(0, 1))
      if (this.#waiting.length === 0) return
      if (steps > 2000) throw new Error('It does not end.')
      const [next] = this.#waiting.splice(this.#choose(this.#waiting.length), 1)
      next?.()
    }
  }
}

const supports: BackendSupports = {
  maxValueBytes: 1_000_000,
  clock: 'store',
  persistent: false,
  shared: true,
  evicts: false,
  iteration: true,
}

/** One client of the simulated store. Its batches are not atomic. */
class SimulatedBackend implements Partial<CacheBackend> {
  readonly name = 'simulated'
  readonly supports = supports
  readonly #records: Map<string, Buffer>
  readonly #scheduler: Scheduler

  constructor(records: Map<string, Buffer>, scheduler: Scheduler) {
    this.#records = records
    this.#scheduler = scheduler
  }

  async #step<T>(effect: () => T): Promise<T> {
    await this.#scheduler.turn()
    const answer = effect()
    if (this.#scheduler.slowAnswers) await this.#scheduler.turn()
    return answer
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#step(() => this.#records.get(key))
  }

  async getEntry(key: string): Promise<BackendEntry | undefined> {
    const value = await this.get(key)
    return value && { value, ttl: undefined }
  }

  async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const found: (Uint8Array | undefined)[] = []
    for (const key of keys) found.push(await this.#step(() => this.#records.get(key)))
    return found
  }

  set(key: string, value: Uint8Array, _options?: WriteOptions): Promise<void> {
    return this.#step(() => void this.#records.set(key, Buffer.from(value)))
  }

  add(key: string, value: Uint8Array): Promise<boolean> {
    return this.#step(() => !this.#records.has(key) && Boolean(this.#records.set(key, Buffer.from(value))))
  }

  compareAndSet(key: string, expected: Uint8Array, value: Uint8Array): Promise<boolean> {
    return this.#step(() => this.#is(key, expected) && Boolean(this.#records.set(key, Buffer.from(value))))
  }

  compareAndDelete(key: string, expected: Uint8Array): Promise<boolean> {
    return this.#step(() => this.#is(key, expected) && this.#records.delete(key))
  }

  delete(key: string): Promise<boolean> {
    return this.#step(() => this.#records.delete(key))
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.delete(key)
  }

  clear(): Promise<void> {
    return this.#step(() => this.#records.clear())
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  #is(key: string, expected: Uint8Array): boolean {
    return this.#records.get(key)?.equals(expected) === true
  }
}

export const taskNames = ['load', 'load with tag', 'refresh', 'get', 'delete', 'set', 'deleteByTag', 'clear'] as const
export type TaskName = (typeof taskNames)[number]

/** A task, and the number of the process that does it. */
export type Task = readonly [name: TaskName, process: number]

export interface Scenario {
  readonly tasks: readonly Task[]
  readonly lease: 'store' | 'process'
  /** Whether there is a stale entry at the beginning, which may be served to nobody but while it is refreshed. */
  readonly stale?: boolean | undefined
  /** Whether each process has a local tier, and a bus that delivers at once. */
  readonly tiers?: boolean | undefined
  readonly slowAnswers: boolean
}

/** Runs the tasks of a scenario side by side, in the order that `choose` makes. */
export async function simulate(
  createCache: CreateCache,
  scenario: Scenario,
  choose: Choose,
  mostPauses = 20,
): Promise<History> {
  const { tasks, lease, slowAnswers } = scenario
  const scheduler = new Scheduler(choose, slowAnswers, mostPauses)
  const records = new Map<string, Buffer>()
  const history: History = { invalidations: [], reads: [], loads: 0 }
  const born = new Map<number, Value>()
  let values = 0
  const note = (): { id: number; value: Value } => {
    const value = { born: scheduler.tick() }
    born.set(++values, value)
    return { id: values, value }
  }
  const realTimeout = globalThis.setTimeout
  let now = 1_000_000
  const realNow = Date.now
  Date.now = () => now
  // The pauses of who waits for a lease are turns, too. What is longer is a timeout that must not matter.
  globalThis.setTimeout = ((call: () => void, milliseconds: number) =>
    milliseconds < 1000 ? void scheduler.pause().then(call) : realTimeout(call, milliseconds)) as typeof setTimeout
  const processes = [...new Set(tasks.map(([, process]) => process))]
  const hub = new Hub()
  const caches = new Map(
    processes.map(process => {
      const backend = new SimulatedBackend(records, scheduler) as unknown as CacheBackend
      const tiers = scenario.tiers ? { local: new InMemoryBackend({ isolation: 'share' }), bus: hub.bus() } : {}
      const patience = { breaker: false, storeTimeout: '1d', loaderTimeout: { hard: '1d' }, localTtl: '1d' } as const
      return [process, createCache({ backend, lease, ...patience, ...tiers })]
    }),
  )
  await Promise.all([...caches.values()].map(cache => cache.open()))
  const stale = { staleWhileRevalidate: '1h', ttl: '1m' } as const
  try {
    if (scenario.stale) {
      const setting = caches.get(processes[0] as number)?.set('key', note().id, { tags: ['tag'], ...stale })
      await scheduler.run()
      await setting
      now += 120_000
    }
    const load = async (name: string, cache: Cache, options: object): Promise<void> => {
      const start = scheduler.tick()
      const id = await cache.getOrSet(
        'key',
        async () => {
          const { id } = note()
          history.loads++
          await scheduler.turn()
          return { id }
        },
        { ...(scenario.stale ? stale : {}), ...options },
      )
      read(name, start, id)
    }
    const read = (name: string, start: number, found: unknown): void => {
      const id = typeof found === 'object' ? (found as { id: number } | null)?.id : found
      if (id !== undefined) history.reads.push({ name, start, value: born.get(id as number) as Value })
    }
    const invalidate = async (name: string, call: () => Promise<unknown>): Promise<void> => {
      const start = scheduler.tick()
      await call()
      history.invalidations.push({ name, start, end: scheduler.tick() })
    }
    const run: Record<TaskName, (cache: Cache, name: string) => Promise<void>> = {
      load: (cache, name) => load(name, cache, {}),
      'load with tag': (cache, name) => load(name, cache, { tags: ['tag'] }),
      refresh: (cache, name) => load(name, cache, { refresh: true, tags: ['tag'] }),
      async get(cache, name) {
        const start = scheduler.tick()
        read(name, start, await cache.get('key'))
      },
      delete: (cache, name) => invalidate(name, () => cache.delete('key')),
      async set(cache, name) {
        const { id, value } = note()
        await invalidate(name, () => cache.set('key', { id }, { tags: ['tag'] }))
        value.born = scheduler.tick()
      },
      deleteByTag: (cache, name) => invalidate(name, () => cache.deleteByTag('tag')),
      clear: (cache, name) => invalidate(name, () => cache.clear()),
    }
    const running = tasks.map(async ([name, process]) => {
      await scheduler.turn()
      await run[name](caches.get(process) as Cache, `${name} in process ${process}`)
    })
    await scheduler.run()
    await Promise.all(running)
    return history
  } finally {
    globalThis.setTimeout = realTimeout
    Date.now = realNow
    await Promise.all([...caches.values()].map(cache => cache.close()))
  }
}

/**
 * The invariant: no call that starts after an invalidation has ended returns a value whose loader was called before it
 * began. `deleteByTag` invalidates what carries the tag only. Answers what contradicts it.
 */
export function violation({ invalidations, reads }: History, tagged: boolean): string | undefined {
  for (const read of reads) {
    for (const { name, start, end } of invalidations) {
      if (name.startsWith('deleteByTag') && !tagged) continue
      if (read.start > end && read.value.born < start) {
        return `${read.name}, begun at ${read.start}, answers a value from ${read.value.born}; ${name} ran from ${start} to ${end}`
      }
    }
  }
  return undefined
}

/** Runs every interleaving of a scenario, or the first `limit` of them. Answers how many, and the first violation. */
export async function exploreAll(
  createCache: CreateCache,
  scenario: Scenario,
  limit: number,
): Promise<{ runs: number; found: string | undefined; complete: boolean }> {
  const tagged = scenario.tasks.every(([name]) => name !== 'load')
  let choices: number[] = []
  for (let runs = 1; ; runs++) {
    const counts: number[] = []
    const choose = (count: number): number => {
      counts.push(count)
      return choices[counts.length - 1] ?? 0
    }
    const history = await simulate(createCache, scenario, choose, 2)
    const found = violation(history, tagged)
    if (found !== undefined || runs === limit) return { runs, found, complete: false }
    // The next one, in the order of a number whose digits are the choices.
    const digits = counts.map((_, index) => choices[index] ?? 0)
    let last = digits.length - 1
    while (last >= 0 && (digits[last] as number) + 1 >= (counts[last] as number)) last--
    if (last < 0) return { runs, found: undefined, complete: true }
    choices = [...digits.slice(0, last), (digits[last] as number) + 1]
  }
}

/** Runs random interleavings of random scenarios of up to six tasks, or of the `given` tasks. */
export async function exploreRandom(
  createCache: CreateCache,
  seed: number,
  runs: number,
  given?: readonly Task[] | undefined,
  tiered = false,
): Promise<{ found: string | undefined; operations: number }> {
  const random = new Random(seed)
  const pick = (count: number): number => random.below(count)
  let operations = 0
  for (let run = 0; run < runs; run++) {
    const lease = pick(4) === 0 ? ('process' as const) : ('store' as const)
    const processes = lease === 'process' ? 1 : 1 + pick(3)
    const untagged = pick(2) === 0
    const names = taskNames.filter(name => (untagged ? name !== 'load with tag' : name !== 'load'))
    const tasks = Array.from({ length: 2 + pick(5) }, (): Task => {
      // Half of them load: only loads can bring an old value back.
      const name = pick(2) === 0 ? (names[0] as TaskName) : (names[pick(names.length)] as TaskName)
      return [name, pick(processes)]
    })
    const tiers = tiered || (given === undefined && pick(3) === 0)
    const scenario: Scenario = given
      ? { tasks: given, lease: 'store', tiers, slowAnswers: pick(2) === 0 }
      : { tasks, lease, tiers, stale: !untagged && pick(3) === 0, slowAnswers: pick(2) === 0 }
    operations += tasks.length
    // Few uniform choices let a task wait while another one does all of its work.
    const favourite = pick(3)
    const choose = (count: number): number => {
      if (favourite === 0 || pick(4) === 0) return pick(count)
      return favourite === 1 ? 0 : count - 1
    }
    const history = await simulate(createCache, scenario, choose)
    const found = violation(
      history,
      scenario.tasks.every(([name]) => name !== 'load'),
    )
    if (found !== undefined) return { found: `${JSON.stringify(scenario)}: ${found}`, operations }
  }
  return { found: undefined, operations }
}
