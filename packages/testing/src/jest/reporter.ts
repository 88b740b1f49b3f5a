import { writeSync } from 'node:fs'

/** The part of jest's results that is read here. */
interface Results {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  /** Test files that could not be run at all, a syntax error for instance. */
  readonly numRuntimeErrorTestSuites: number
}

/** Lists the services that were asked for, and ends the run with one plain line. */
export default class Reporter {
  async onRunComplete(_: unknown, results: Results): Promise<void> {
    const url = process.env.CACHEKIT_BROKER
    if (url !== undefined) process.stdout.write(`${await (await fetch(url)).text()}\n`)
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites
    const skipped = results.numPendingTests + results.numTodoTests
    // At the very end, after whatever jest says as it leaves.
    process.once('exit', () => writeSync(1, `${results.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`))
  }
}
