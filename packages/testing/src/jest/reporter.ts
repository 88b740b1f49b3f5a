import { writeSync } from 'node:fs'
import { resolutionLine } from '../resolution-line.ts'
import type { Resolution } from '../service.ts'

/** The part of jest's results that is read here. */
interface Results {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  /** Test files that could not be run at all, because of a syntax error for instance. */
  readonly numRuntimeErrorTestSuites: number
}

/** Lists the services that the tests asked for, and ends the run with one plain line. */
export default class ServiceReporter {
  async onRunComplete(_: unknown, results: Results): Promise<void> {
    const services = (await resolutions()).map(resolutionLine)
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites
    const skipped = results.numPendingTests + results.numTodoTests
    const summary = `${results.numPassedTests} passed, ${failed} failed, ${skipped} skipped`
    // At the very end, after whatever jest says as it leaves.
    process.once('exit', () => writeSync(1, ['', 'Services', ...services, '', summary, ''].join('\n')))
  }
}

async function resolutions(): Promise<Resolution[]> {
  const broker = process.env.CACHEKIT_BROKER
  return broker === undefined ? [] : ((await (await fetch(broker)).json()) as Resolution[])
}
