import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
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
  return spawn(process.execPath, ['--conditions=@cachekit/source', main, ...options], {
    env: process.env, // as the test has set it: Jest gives it a copy
  })
}

/** A demo that serves. */
export interface ServingDemo {
  readonly process: ChildProcess
  readonly url: string
  /** The server that it has started for its store, if it has. */
  readonly storeUrl: string | undefined
}

/** Starts the demo and waits until it serves. */
export async function serveDemo(...options: string[]): Promise<ServingDemo> {
  const demo = startDemo('--requests', '1', ...options)
  let stdout = ''
  let stderr = ''
  demo.stderr.setEncoding('utf8').on('data', chunk => {
    stderr += chunk
  })
  for await (const chunk of demo.stdout.setEncoding('utf8')) {
    stdout += chunk
    const url = /Serving on (http:\S+)/.exec(stdout)?.[1]
    if (url) return { process: demo, url, storeUrl: /^Started .* at (\S+)\.$/m.exec(stdout)?.[1] }
  }
  throw new Error(`The demo does not serve: ${stdout}${stderr}`)
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
