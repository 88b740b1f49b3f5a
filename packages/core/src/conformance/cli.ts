// The command `npx @cachekit/core conformance ./my-backend.mjs`.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { ConformanceOptions } from './conformance.ts'
import { type ConformanceReport, type ConformanceResult, runConformance } from './run-conformance.ts'

const HELP = `Proves a CacheKit backend against the contract, rule by rule.

  npx @cachekit/core conformance <module> [--seed <number>] [--json]

The module exports

  create(options, server)   a fresh backend on the same store at each call; options go on to its constructor
  server                    optional, { host, port }: adds the cases in which the network fails. They come through a
                            proxy of the kit: connect to the server that create() is given

  --seed <number>           repeats the random parts of an earlier run
  --json                    prints the report as JSON and nothing else
  --help                    prints this

Exit status: 0 if every case passed, 1 if one failed, 2 if there was nothing to run.
`

/** How long the process may go on after the report, in milliseconds, before we name what keeps it alive and end it. */
const LINGER = 3000

/** A mistake of whoever called the command. */
class UsageError extends Error {}

/** Runs the command with these arguments; answers the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const { file, seed, json, help } = readArguments(args)
    if (help) {
      process.stdout.write(HELP)
      return 0
    }
    const options = await load(file)
    await tryCreate(options)
    const report = await runConformance({ ...options, seed }, { onResult: json ? undefined : showProgress })
    process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report))
    return report.passed ? 0 : 1
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  }
}

/** For the executable: runs the command and ends the process, also if the backends left something open. */
export async function runCommand(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2))
  setTimeout(() => {
    const open = [...new Set(process.getActiveResourcesInfo())].join(', ')
    process.stderr.write(`\nSomething keeps the process alive, ${LINGER / 1000} s after the last close(): ${open}.\n`)
    process.exit()
  }, LINGER).unref()
}

function readArguments(args: readonly string[]): { file: string; seed?: number; json: boolean; help: boolean } {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${HELP}`)
  }
  const { values, positionals } = parsed
  const [command, file, ...more] = positionals
  if (values.help) return { file: '', json: false, help: true }
  if (command !== 'conformance') throw new UsageError(command ? `There is no command "${command}".\n\n${HELP}` : HELP)
  if (file === undefined || more.length > 0) throw new UsageError(`Name one module.\n\n${HELP}`)
  const seed = values.seed === undefined ? undefined : Number(values.seed)
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new UsageError(`--seed takes a number as an earlier run has named it, not "${values.seed}".`)
  }
  return { file, json: values.json === true, help: false, ...(seed === undefined ? {} : { seed }) }
}

const parse = (args: readonly string[]) =>
  parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { seed: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  })

async function load(file: string): Promise<ConformanceOptions> {
  const path = resolve(file)
  if (!existsSync(path)) throw new UsageError(`There is no file ${path}.`)
  let module: Partial<ConformanceOptions>
  try {
    module = await import(pathToFileURL(path).href)
  } catch (error) {
    throw new UsageError(`${path} cannot be loaded: ${(error as Error).stack ?? error}`)
  }
  const { create, server } = module
  if (typeof create !== 'function') {
    throw new UsageError(
      `${path} exports no function "create". Add one that makes a backend:\n\n` +
        '  export const create = options => new MyBackend(options)\n',
    )
  }
  return { create, server }
}

/** So that a mistake in `create` is told apart from a backend that breaks the contract. */
async function tryCreate({ create, server }: ConformanceOptions): Promise<void> {
  try {
    const backend = await create({ namespace: 'kit' }, server)
    await backend.close()
  } catch (error) {
    throw new UsageError(`create() failed: ${(error as Error).stack ?? error}`)
  }
}

let shown = 0

function showProgress(result: ConformanceResult, count: number): void {
  const mark = { passed: '.', failed: 'F', 'not supported': '-' }[result.status]
  shown++
  process.stdout.write(`${mark}${shown % 80 === 0 || shown === count ? ` ${shown}/${count}\n` : ''}`)
}

/** The report as text: a table of rules, then the reasons of failures. */
export function formatReport(report: ConformanceReport): string {
  const row = (...cells: readonly unknown[]): string => {
    const [rule, ...counts] = cells
    return `${String(rule).padEnd(6)}${counts.map(count => String(count === 0 ? '' : count).padStart(15)).join('')}`.trimEnd()
  }
  const failures = report.results.filter(({ status }) => status === 'failed')
  const seconds = (report.milliseconds / 1000).toFixed(1)
  return [
    '',
    row('', 'passed', 'failed', 'not supported'),
    ...report.rules.map(({ rule, passed, failed, notSupported }) => row(rule, passed, failed, notSupported)),
    ...failures.flatMap(({ title, reason = '' }) => ['', `FAILED ${title}`, `  ${reason.replaceAll('\n', '\n  ')}`]),
    '',
    report.passed
      ? `${report.backend} keeps the contract: ${report.results.length} cases in ${seconds} s (seed ${report.seed}).`
      : `${report.backend} breaks the contract: ${failures.length} of ${report.results.length} cases failed in ${seconds} s (seed ${report.seed}).`,
    '',
  ].join('\n')
}
