// What several processes that share a store promise together; for each backend's own tests.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

interface Seen {
  readonly invalidations: {
    readonly name: string
    readonly key?: string
    readonly start: number
    readonly end: number
  }[]
  readonly reads: {
    readonly name: string
    readonly key: string
    readonly start: number
    readonly value: { born: number }
  }[]
}

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

type Stampede = { readonly loads: number; readonly values: unknown[] }

/**
 * The cases, for `describe`. `args` answers the module, the class and the options of the backend, all processes the same;
 * each case gets a namespace of its own. `operations`: how many random ones, of all processes together.
 */
export function processCases(args: (namespace: string) => [string, string, object], operations: number): void {
  const started: Process[] = []
  const start = async (count: number): Promise<Process[]> => {
    const [module, name, options] = args(`processes-${Math.random()}`)
    const processes = Array.from({ length: count }, () => new Process([module, name, JSON.stringify(options)]))
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
    const processes = await start(3)
    const order = { do: 'stampede', calls: 20, load: 2500 }
    const results = await Promise.all(processes.map(each => each.order<Stampede>(order)))
    expect(sum(results)).toBe(1)
  }, 30_000)

  test('a loader that throws: one load for each process', async () => {
    const processes = await start(4)
    const order = { do: 'stampede', calls: 250, fails: true }
    const results = await Promise.all(processes.map(each => each.order<Stampede>(order)))
    expect(results.map(({ loads }) => loads)).toEqual([1, 1, 1, 1])
    expect(results.every(({ values }) => String(values) === 'Error: the origin is down')).toBe(true)
  }, 30_000)

  test('the process that loads is killed: the others go on within the life of its lease', async () => {
    const [killed, ...others] = (await start(3)) as [Process, ...Process[]]
    const loading = killed.loading()
    void killed.order({ do: 'stampede', calls: 1, load: 60_000 }).catch(() => {})
    await loading
    const waiting = others.map(each => each.order<Stampede>({ do: 'stampede', calls: 50, load: 10 }))
    killed.child.kill('SIGKILL')
    const killedAt = performance.now()
    const results = await Promise.all(waiting)
    expect(performance.now() - killedAt).toBeLessThan(1200 + 300)
    expect(sum(results)).toBe(1)
  }, 30_000)

  test(`no call answers what was invalidated before it began, in ${operations} random operations`, async () => {
    const processes = await start(4)
    const calls = Math.ceil(operations / processes.length)
    const seed = Math.floor(Math.random() * 2 ** 31)
    const order = (index: number): object => ({ do: 'random', calls, seed: seed + index })
    const seen = await Promise.all(processes.map((each, index) => each.order<Seen>(order(index))))
    const invalidations = seen.flatMap(each => each.invalidations)
    const reads = seen.flatMap(each => each.reads)
    expect(invalidations.length + reads.length).toBeGreaterThanOrEqual(operations - processes.length)
    // The latest beginning among the invalidations that had ended, for each key, at each time.
    const violations: string[] = []
    for (const key of ['key0', 'key1', 'key2']) {
      const ended = invalidations.filter(each => (each.key ?? key) === key).sort((a, b) => a.end - b.end)
      let next = 0
      let latest = 0
      for (const read of reads.filter(each => each.key === key).sort((a, b) => a.start - b.start)) {
        for (; next < ended.length && (ended[next]?.end as number) < read.start; next++) {
          latest = Math.max(latest, ended[next]?.start as number)
        }
        if (read.value.born < latest)
          violations.push(`${key}: read at ${read.start}, born ${read.value.born}, ${latest}`)
      }
    }
    expect({ seed, violations: violations.slice(0, 3) }).toEqual({ seed, violations: [] })
  }, 300_000)
}
