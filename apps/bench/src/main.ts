import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { resolveService } from '@cachekit/testing'
import { Presets, SingleBar } from 'cli-progress'
import { type ImportResult, measureImports } from './import-time.ts'
import { writeNotes } from './notes.ts'
import { formatResults, type Results } from './report.ts'
import { type Progress, runSuite } from './run-suite.ts'
import { type Case, casesOf, caseTitle, type Suite } from './suite.ts'
import { type SuiteResult, suiteCircumstances, suiteResult } from './suite-result.ts'
import { suites } from './suites/index.ts'

const services = [...new Set(suites.flatMap(({ service }) => service ?? []))]

const help = `pnpm bench: how fast CacheKit is, compared with bare drivers and with other libraries

  --filter TEXT     only what has TEXT in its name; names are like "redis: getMany, 1 kB, 64 at a time" and "import"
  --quick           few and short rounds: shows that it works, not how fast it is
  --show            what the last whole run of each suite gave, from apps/bench/results; nothing is measured
  --notes           writes the same into docs/benchmarks.md, and how long a call takes into docs/choosing-a-backend.md
  --json            results as JSON on standard output instead of tables
  --output FOLDER   where each suite is written as JSON; default: apps/bench/results for suites that run whole
${services.map(service => `  --${service}-url URL`.padEnd(20)).join('\n')}the server to use; default: one that is found, started or fetched

Suites: ${[...suites.map(({ name }) => name), 'import'].join(', ')}

\`node --cpu-prof apps/bench/src/main.ts --filter ...\` writes a profile of each contestant.`

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    show: { type: 'boolean', default: false },
    notes: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    output: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
    ...Object.fromEntries(services.map(service => [`${service}-url`, { type: 'string' } as const])),
  },
})
const { filter, quick, json } = values
const defaultOutput = fileURLToPath(new URL('../results/', import.meta.url))

/** ^C ends the run before the next thing is measured: servers and processes are stopped, finished suites are kept. */
let interrupted = false
process.once('SIGINT', () => {
  interrupted = true
})

try {
  if (values.help) console.log(help)
  else if (values.notes) writeNotes(saved())
  else report(values.show ? saved() : await measured())
} catch (error) {
  console.error(interrupted ? 'Interrupted.' : (error as Error).message)
  process.exitCode = interrupted ? 130 : 1
}

function report(results: Results): void {
  console.log(json ? JSON.stringify(results, null, 2) : formatResults(results))
}

/** Of the suites that were run. */
function saved(): Results {
  const path = (name: string): string => `${defaultOutput}${name}.json`
  const read = (name: string): unknown => JSON.parse(readFileSync(path(name), 'utf8'))
  const found = suites.filter(({ name }) => existsSync(path(name)))
  return { suites: found.map(({ name }) => read(name) as SuiteResult), imports: read('import') as ImportResult }
}

async function measured(): Promise<Results> {
  const results: SuiteResult[] = []
  for (const suite of suites) {
    const wanted = (one: Case): boolean => `${suite.name}: ${caseTitle(one)}`.includes(filter)
    const all = casesOf(suite)
    const count = all.filter(wanted).length
    if (count === 0) continue
    const result = await withProgress(progress => run(suite, wanted, progress))
    save(suite.name, result, count === all.length)
    results.push(result)
  }
  let imports: ImportResult | undefined
  if ('import'.includes(filter)) {
    imports = await withProgress(progress => measureImports(quick ? 1 : 31, progress))
    save('import', imports, true)
  }
  if (results.length === 0 && imports === undefined) throw new Error(`Nothing has "${filter}" in its name.`)
  return { suites: results, imports }
}

async function run(suite: Suite, wanted: (one: Case) => boolean, progress: Progress): Promise<SuiteResult> {
  const found = suiteCircumstances(suite)
  const { keys = 1000, rounds = 31 } = suite
  const size = quick ? { keys: 100, rounds: 1, milliseconds: 1 } : { keys, rounds, milliseconds: 60 }
  if (suite.service === undefined) {
    const options = { ...size, url: '' }
    return suiteResult(suite, options, found, undefined, await runSuite(suite, wanted, options, progress))
  }
  const url = (values as Record<string, unknown>)[`${suite.service}-url`]
  if (typeof url === 'string') process.env[`CACHEKIT_${suite.service.toUpperCase()}_URL`] = url
  const service = await resolveService(suite.service, { report: line => console.error(line) })
  try {
    const options = { ...size, url: service.url }
    const server = `${service.name} ${service.version} (${service.way})`
    return suiteResult(suite, options, found, server, await runSuite(suite, wanted, options, progress))
  } finally {
    await service.close()
  }
}

function save(name: string, result: SuiteResult | ImportResult, whole: boolean): void {
  const folder = values.output ?? (whole && !quick ? defaultOutput : undefined)
  if (folder === undefined) return
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/${name}.json`, `${JSON.stringify(result, null, 2)}\n`)
}

/** Shows on standard error how far it is, so that standard output holds results only. */
async function withProgress<T>(work: (progress: Progress) => Promise<T>): Promise<T> {
  const format = '{bar} {percentage}% {eta_formatted} {what}'
  const output = { stream: process.stderr, clearOnComplete: true, noTTYOutput: true, notTTYSchedule: 10_000 }
  const bar = new SingleBar({ format, ...output }, Presets.shades_classic)
  bar.start(1, 0, { what: '' })
  try {
    return await work((what, done, of) => {
      if (interrupted) throw new Error('Interrupted.')
      bar.setTotal(of)
      bar.update(done, { what })
    })
  } finally {
    bar.stop()
  }
}
