// What several processes that share a store promise together; for each backend's own tests.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Seen, violations } from './random-operations.ts'

class Process {
  readonly child: ChildProcess
  readonly #answers: AsyncIterator<string>

  constructor(args: readonly string[]) {
    const file = require.resolve('./process.ts')
    this.child = spawn(process.execPath, ['--conditions=@cachekit/source', file, ...args])
    this.child.stderr?.on('data', data => {
      if (!String(data).startsWith('loading')) process.stderr.write(data)
    })
    this.#answers = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  }

  async order<T>(order: object): Promise<T> {
    this.child.stdin?.write(`${JSON.stringify(order)}\n`)
    const { value, done } = await this.#answers.next()
    if (done) throw new Error('The process has ended.')
    return JSON.parse(value) as T
  }

  /** Resolves when the process calls a loader. */
  loading(): Promise<unknown> {
    return new Promise(resolve => this.child.stderr?.once('data', resolve))
  }
}

/** How many random ones there are, of all processes or caches together. */
export const operations: number = Number(process.env.CACHEKIT_OPERATIONS ?? 2000)

type Stampede = { readonly loads: number; readonly values: unknown[] }

/**
 * The cases, for `describe`. `args` answers the module, the class and the options of the backend, all processes the same;
 * each case gets a namespace of its own.
 */
export function processCases(args: (namespace: string) => [string, string, object]): void {
  const started: Process[] = []
  const start = async (
    count: number,
    { namespace = `processes-${Math.random()}`, leaseTtl = 5000 } = {},
  ): Promise<Process[]> => {
    const [module, name, options] = args(namespace)
    const processes = Array.from(
      { length: count },
      () => new Process([module, name, JSON.stringify(options), String(leaseTtl)]),
    )
    started.push(...processes)
    await Promise.all(processes.map(each => each.order({ do: 'random', calls: 0 })))
    return processes
  }
  afterEach(() => {
    for (const { child } of started.splice(0)) child.kill('SIGKILL')
  })
  const sum = (results: readonly Stampede[]): number => results.reduce((total, { loads }) => total + loads, 0)

  test('4 processes with 250 calls each for a missing key: one load', async () => {
    const processes = await start(4)
    const results = await Promise.all(processes.map(each => each.order<Stampede>({ do: 'stampede', calls: 250 })))
    expect(sum(results)).toBe(1)
    expect(new Set(results.flatMap(({ values }) => values)).size).toBe(1)
  }, 30_000)

  test('a loader that takes longer than a lease lives: one load', async () => {
    const processes = await start(3, { leaseTtl: 1000 })
    const order = { do: 'stampede', calls: 20, load: 2500 }
    const results = await Promise.all(processes.map(each => each.order<Stampede>(order)))
    expect(sum(results)).toBe(1)
  }, 30_000)

  test('a loader that throws: one load for each process', async () => {
    const processes = await start(4)
    // Long enough for each of the calls to have looked into the store before the loader fails.
    const order = { do: 'stampede', calls: 250, fails: true, load: 500 }
    const results = await Promise.all(processes.map(each => each.order<Stampede>(order)))
    expect(results.map(({ loads }) => loads)).toEqual([1, 1, 1, 1])
    expect(results.every(({ values }) => String(values) === 'Error: the origin is down')).toBe(true)
  }, 30_000)

  test('the process that loads is killed: the others go on within the life of its lease', async () => {
    const leaseTtl = 3000
    const [killed, ...others] = (await start(3, { leaseTtl })) as [Process, ...Process[]]
    const loading = killed.loading()
    void killed.order({ do: 'stampede', calls: 1, load: 60_000 }).catch(() => {})
    await loading
    const waiting = others.map(each => each.order<Stampede>({ do: 'stampede', calls: 50, load: 10 }))
    killed.child.kill('SIGKILL')
    const killedAt = performance.now()
    const results = await Promise.all(waiting)
    expect(performance.now() - killedAt).toBeLessThan(1.2 * leaseTtl)
    expect(sum(results)).toBe(1)
  }, 30_000)

  test(`no call answers what was invalidated before it began, in ${operations} random operations`, async () => {
    const namespace = `processes-${Math.random()}`
    const seed = Math.floor(Math.random() * 2 ** 31)
    const processes = await start(4, { namespace })
    const seen: Seen[] = []
    let kills = 0
    let orders = 0
    /** So many at a time that what a process saw fits into one line. */
    const calls = Math.min(2000, Math.ceil(operations / processes.length))
    const enough = (): boolean => kills > 0 && count(seen).operations >= operations
    /** A process that is killed again and again, with its loaders, its leases and its writes under way. */
    const victim = async (): Promise<void> => {
      while (!enough()) {
        const [process] = (await start(1, { namespace, leaseTtl: 1000 })) as [Process]
        void process.order({ do: 'random', calls: 1e9, seed: seed - ++orders }).catch(() => {})
        await sleep(300 + Math.random() * 1500)
        process.child.kill('SIGKILL')
        kills++
      }
    }
    const work = async (process: Process): Promise<void> => {
      while (!enough()) seen.push(await process.order<Seen>({ do: 'random', calls, seed: seed - ++orders }))
    }
    await Promise.all([victim(), ...processes.map(work)])
    const figures = { ...count(seen), kills }
    if (process.env.CACHEKIT_OPERATIONS !== undefined) process.stdout.write(`${JSON.stringify(figures)}\n`)
    const found = violations(seen)
    expect({ seed, ...figures, violations: found.length, found: found.slice(0, 3) }).toEqual({
      seed,
      ...figures,
      violations: 0,
      found: [],
    })
    // Or else this would prove little.
    expect(figures.failures).toBeLessThan(figures.operations / 100)
    expect(Math.min(figures.invalidations, figures.reads, figures.loads)).toBeGreaterThan(figures.operations / 20)
  }, 1_200_000)
}

export function count(seen: readonly Seen[]): Record<keyof Seen, number> {
  const total = { operations: 0, invalidations: 0, reads: 0, loads: 0, failures: 0 }
  for (const each of seen) {
    total.operations += each.operations
    total.loads += each.loads
    for (const list of ['invalidations', 'reads', 'failures'] as const) total[list] += each[list].length
  }
  return total
}
