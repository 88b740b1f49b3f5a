import { ContestantProcess } from './contestant-process.ts'
import { type Case, casesOf, caseTitle, type Suite } from './suite.ts'

export interface RunOptions {
  /** Of the server, if the suite has one. */
  readonly url: string
  /** How many keys are cached. */
  readonly keys: number
  readonly rounds: number
  /** How long a contestant is timed for a case in a round. */
  readonly milliseconds: number
}

export interface Measurements extends Case {
  /** Calls per second of each contestant, in each round. */
  readonly callsPerSecond: Readonly<Record<string, number[]>>
  /** Of each contestant, for hits alone. */
  readonly promisesPerCall: Readonly<Record<string, number>>
}

/** Is told what is done now, how much was done before, and how much there is to do. */
export type Progress = (what: string, done: number, of: number) => void

interface Timed {
  readonly index: number
  readonly one: Case
  /** Those that have the operation. */
  readonly contestants: readonly ContestantProcess[]
  readonly callsPerSecond: Record<string, number[]>
  readonly promisesPerCall: Record<string, number>
}

/**
 * Times the contestants in turns: for each case of each round one after the other, each time another one first. What
 * disturbs the machine for longer than a moment disturbs all of them, so that the ratios within a round hold.
 */
export async function runSuite(
  suite: Suite,
  wanted: (one: Case) => boolean,
  { url, keys, rounds, milliseconds }: RunOptions,
  progress: Progress,
): Promise<Measurements[]> {
  const contestants: ContestantProcess[] = []
  try {
    for (const { name } of suite.contestants) {
      progress(`${suite.name}: open ${name}`, 0, 1)
      contestants.push(await ContestantProcess.start({ suite: suite.name, contestant: name, url, keys }))
    }
    const cases: Timed[] = []
    for (const [index, one] of casesOf(suite).entries()) {
      if (wanted(one)) cases.push(await prepare(suite, contestants, index, one, progress))
    }
    // The first round is for the engine to compile what is hot: it does not count.
    const turns = cases.reduce((sum, timed) => sum + timed.contestants.length, 0)
    let done = 0
    for (let round = 0; round <= rounds; round++) {
      for (const { index, one, contestants, callsPerSecond } of cases) {
        for (const contestant of rotated(contestants, round)) {
          progress(`${suite.name}: ${caseTitle(one)}: ${contestant.name}`, done++, turns * (rounds + 1))
          const rate = await contestant.time(index, milliseconds)
          if (round > 0) callsPerSecond[contestant.name]?.push(rate)
        }
      }
    }
    // At the end, as counting slows a process down for good.
    for (const { index, one, contestants, promisesPerCall } of cases) {
      if (one.operation !== 'hit') continue
      for (const contestant of contestants) {
        progress(`${suite.name}: ${caseTitle(one)}: count promises of ${contestant.name}`, done, done)
        promisesPerCall[contestant.name] = await contestant.promisesPerCall(index)
      }
    }
    for (const contestant of contestants) await contestant.close()
    return cases.map(({ one, callsPerSecond, promisesPerCall }) => ({ ...one, callsPerSecond, promisesPerCall }))
  } finally {
    for (const contestant of contestants) contestant.kill()
  }
}

async function prepare(
  suite: Suite,
  contestants: readonly ContestantProcess[],
  index: number,
  one: Case,
  progress: Progress,
): Promise<Timed> {
  const able: ContestantProcess[] = []
  for (const contestant of contestants) {
    progress(`${suite.name}: ${caseTitle(one)}: check ${contestant.name}`, 0, 1)
    if (await contestant.prepare(index)) able.push(contestant)
  }
  const callsPerSecond = Object.fromEntries(able.map(({ name }) => [name, []]))
  return { index, one, contestants: able, callsPerSecond, promisesPerCall: {} }
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const start = by % items.length
  return [...items.slice(start), ...items.slice(0, start)]
}
