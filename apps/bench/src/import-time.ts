import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Circumstances, circumstances } from './circumstances.ts'
import type { Progress } from './run-suite.ts'
import { type Spread, spreadOf } from './spread.ts'

/** Milliseconds of processor time that `import` of core may take. */
const BUDGET = 10

const packages = [
  '@cachekit/core',
  '@cachekit/memory',
  '@cachekit/redis',
  '@cachekit/postgres',
  '@cachekit/memcached',
  '@cachekit/mongodb',
  '@cachekit/firestore',
  '@cachekit/dynamodb',
  'lru-cache',
  'keyv',
  'cacheable',
  'bentocache',
]

/**
 * Run by a process that has just started, so that what the start takes is left out. By the processor's time, as other
 * programs on the machine lengthen it less; on an idle one about as much time passes.
 */
const script = `const start = process.cpuUsage()
await import(process.argv[1])
const { user, system } = process.cpuUsage(start)
console.log((user + system) / 1000)`

export interface ImportResult extends Circumstances {
  readonly rounds: number
  /** Processor time that `import` of each package takes in a fresh process. */
  readonly milliseconds: Readonly<Record<string, Spread>>
  readonly budget: { readonly package: string; readonly milliseconds: number; readonly met: boolean }
}

export async function measureImports(rounds: number, progress: Progress): Promise<ImportResult> {
  const found = circumstances(packages)
  const samples = new Map(packages.map(name => [name, [] as number[]]))
  let done = 0
  // The first round brings the files into the memory of the system: it does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, times] of samples) {
      progress(`import ${name}`, done++, samples.size * (rounds + 1))
      const time = await importTime(name)
      if (round > 0) times.push(time)
    }
  }
  const milliseconds = Object.fromEntries([...samples].map(([name, times]) => [name, spreadOf(times)]))
  const [core] = packages as [string]
  const met = (milliseconds[core] as Spread).median < BUDGET
  return { ...found, rounds, milliseconds, budget: { package: core, milliseconds: BUDGET, met } }
}

async function importTime(name: string): Promise<number> {
  const options = [...process.execArgv, '--input-type=module', '--eval', script, import.meta.resolve(name)]
  const { stdout } = await promisify(execFile)(process.execPath, options)
  return Number(stdout)
}
