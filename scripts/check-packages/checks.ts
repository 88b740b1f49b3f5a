/** One thing that must hold. */
export interface Check {
  readonly title: string
  /** Resolves with what to tell of it; rejects with why it does not hold. */
  run(): Promise<string>
}

/** A check that was run. */
export interface Outcome {
  readonly title: string
  readonly milliseconds: number
  /** What it told. */
  readonly detail: string
  readonly problem?: string
}

/** Runs the checks, `width` at a time, each whatever became of the others, and tells of each as it ends. */
export async function runChecks(checks: readonly Check[], width: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = new Array(checks.length)
  const waiting = checks.entries()
  const worker = async (): Promise<void> => {
    for (const [index, check] of waiting) {
      const outcome = await runCheck(check)
      outcomes[index] = outcome
      tell(`${outcome.problem === undefined ? 'ok' : 'FAILED'}  ${outcome.title}`, outcome.milliseconds)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return outcomes
}

async function runCheck({ title, run }: Check): Promise<Outcome> {
  const start = performance.now()
  const milliseconds = (): number => performance.now() - start
  try {
    const detail = await run()
    return { title, detail, milliseconds: milliseconds() }
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    return { title, detail: problem.split('\n')[0] as string, problem, milliseconds: milliseconds() }
  }
}

/** Prints a line of progress: seconds since the start, what was done, and how long it took. */
export function tell(line: string, milliseconds?: number): void {
  const took = milliseconds === undefined ? '' : ` (${seconds(milliseconds)})`
  console.log(`${seconds(performance.now()).padStart(8)}  ${line}${took}`)
}

/** Why checks failed, in full, and then all of them as a table. */
export function formatOutcomes(outcomes: readonly Outcome[]): string {
  const width = Math.max(...outcomes.map(({ title }) => title.length))
  return [
    ...outcomes.flatMap(({ title, problem }) => (problem === undefined ? [] : [`FAILED  ${title}`, problem, ''])),
    ...outcomes.map(({ title, detail, milliseconds, problem }) =>
      [problem === undefined ? 'ok    ' : 'FAILED', title.padEnd(width), seconds(milliseconds).padStart(8), detail]
        .join('  ')
        .trimEnd(),
    ),
  ].join('\n')
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`
}
