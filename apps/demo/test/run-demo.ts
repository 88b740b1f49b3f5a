import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface Row {
  readonly name: string
  readonly requests: number
  readonly loads: number
  readonly hitRatio: number
}

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** The lines of the table. */
  readonly rows: readonly Row[]
}

/** Starts the demo as a user does, except that it reads the packages' sources: nothing has to be built for a test. */
export function startDemo(...options: string[]): ChildProcessWithoutNullStreams {
  const main = join(__dirname, '../src/main.ts')
  return spawn(process.execPath, ['--conditions=@cachekit/source', main, ...options])
}

/** Runs the demo to its end. */
export async function runDemo(...options: string[]): Promise<Outcome> {
  const demo = startDemo(...options)
  const [[status], stdout, stderr] = await Promise.all([once(demo, 'close'), text(demo.stdout), text(demo.stderr)])
  return { status, stdout, stderr, rows: readTable(stdout) }
}

function readTable(stdout: string): Row[] {
  const row = /^(?<name>\S.*?) {2,}(?<requests>[\d,]+) +(?<loads>[\d,]+) +(?<hitRatio>[\d.]+) % .* x$/gm
  const number = (cell = ''): number => Number(cell.replace(',', ''))
  return [...stdout.matchAll(row)].map(({ groups = {} }) => ({
    name: groups.name ?? '',
    requests: number(groups.requests),
    loads: number(groups.loads),
    hitRatio: number(groups.hitRatio),
  }))
}
