import { type Circumstances, circumstances } from './circumstances.ts'
import type { Measurements, RunOptions } from './run-suite.ts'
import { type Spread, spreadOf } from './spread.ts'
import { type Budget, caseTitle, type Suite } from './suite.ts'

/** What is written to `results/<suite>.json`. A ratio is how many times as fast one is as another. */
export interface SuiteResult extends Circumstances, Omit<RunOptions, 'url'> {
  readonly suite: string
  readonly title: string
  /** Name and version, if the suite has a server. */
  readonly server?: string | undefined
  readonly clock: Suite['clock']
  readonly baseline: string
  readonly contestants: readonly { readonly name: string; readonly options: string }[]
  readonly cases: readonly CaseResult[]
  readonly budgets: readonly BudgetResult[]
}

export interface CaseResult extends Measurements {
  /** Of each contestant to the baseline. */
  readonly ratios: Readonly<Record<string, Spread>>
}

export interface BudgetResult extends Budget {
  /** By the title of the case. */
  readonly ratios: Readonly<Record<string, Spread>>
  /** Whether the median of each case is at least what is asked for. */
  readonly met: boolean
}

/** @param found Of before the run. */
export function suiteResult(
  suite: Suite,
  { keys, rounds, milliseconds }: RunOptions,
  found: Circumstances,
  server: string | undefined,
  cases: readonly Measurements[],
): SuiteResult {
  return {
    suite: suite.name,
    title: suite.title,
    ...found,
    server,
    keys,
    rounds,
    milliseconds,
    clock: suite.clock,
    baseline: suite.baseline,
    contestants: suite.contestants.map(({ name, options }) => ({ name, options })),
    budgets: suite.budgets.map(budget => budgetResult(budget, cases)),
    cases: cases.map(one => ({ ...one, ratios: ratiosTo(suite.baseline, one) })),
  }
}

export function suiteCircumstances(suite: Suite): Circumstances {
  return circumstances(suite.contestants.flatMap(contestant => contestant.packages))
}

function ratiosTo(baseline: string, one: Measurements): Record<string, Spread> {
  const ratios: Record<string, Spread> = {}
  for (const name of Object.keys(one.callsPerSecond)) {
    const ratio = ratioOf(one, name, baseline)
    if (ratio !== undefined) ratios[name] = ratio
  }
  return ratios
}

function budgetResult(budget: Budget, cases: readonly Measurements[]): BudgetResult {
  const ratios: Record<string, Spread> = {}
  for (const one of cases) {
    const ratio = ratioOf(one, budget.contestant, budget.than)
    if (ratio !== undefined) ratios[caseTitle(one)] = ratio
  }
  return { ...budget, ratios, met: Object.values(ratios).every(({ median }) => median >= budget.atLeast) }
}

/** Round by round. `undefined` if one of the two lacks the operation. */
function ratioOf({ callsPerSecond }: Measurements, name: string, than: string): Spread | undefined {
  const [own, other] = [callsPerSecond[name], callsPerSecond[than]]
  if (own === undefined || other === undefined) return undefined
  return spreadOf(own.map((rate, round) => rate / (other[round] as number)))
}
