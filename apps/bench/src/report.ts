import { markdownTable } from 'markdown-table'
import type { Circumstances } from './circumstances.ts'
import type { ImportResult } from './import-time.ts'
import { type Spread, spreadOf } from './spread.ts'
import type { Operation } from './suite.ts'
import type { CaseResult, SuiteResult } from './suite-result.ts'

const operations: Readonly<Record<Operation, string>> = {
  hit: 'read-through hit',
  get: 'get',
  set: 'set',
  getMany: 'getMany of 100 keys',
}

export interface Results {
  readonly suites: readonly SuiteResult[]
  readonly imports: ImportResult | undefined
}

/** All tables, in Markdown. */
export function formatResults(results: Results): string {
  const { suites, imports } = results
  const tables = [...suites.map(formatSuite), ...(imports === undefined ? [] : [formatImports(imports)])]
  const latencies = formatLatencies(results)
  if (latencies !== '') tables.push(`### How long a call takes\n\n${latencies}`)
  return tables.join('\n\n')
}

/** How long the calls of a cache on each store take that are made one at a time, in Markdown; empty if none was timed. */
export function formatLatencies({ suites }: Results): string {
  const columns = ['get', 'set', 'getMany'] as const
  const rows = suites
    .filter(({ cases }) => cases.some(one => 'cachekit' in one.callsPerSecond))
    .filter(({ suite }) => suite !== 'memory-isolated')
    .map(({ title, cases }) => [
      title.replace(/:.*/, ''),
      ...columns.map(operation => latency(cases.find(one => isLatency(one, operation))?.callsPerSecond.cachekit)),
    ])
  if (rows.length === 0) return ''
  return markdownTable([['', '`get`', '`set`', '`getMany` of 100'], ...rows], { align: ['l', 'r', 'r', 'r'] })
}

/** In memory a read is a read-through hit. */
const isLatency = (one: CaseResult, operation: Operation): boolean =>
  one.size === '1 kB' &&
  one.concurrency === 1 &&
  (one.operation === operation || (operation === 'get' && one.operation === 'hit'))

function latency(callsPerSecond: readonly number[] | undefined): string {
  if (callsPerSecond === undefined) return ''
  const microseconds = 1_000_000 / spreadOf(callsPerSecond).median
  return microseconds < 1000 ? `${short(microseconds)} µs` : `${short(microseconds / 1000)} ms`
}

const short = (number: number): number => Number(number.toPrecision(2))

/** The tables of a suite, in Markdown: one for each operation, and the budgets. */
export function formatSuite(result: SuiteResult): string {
  const timed = (Object.keys(operations) as Operation[]).filter(operation =>
    result.cases.some(one => one.operation === operation),
  )
  return [
    `### ${result.title}`,
    `How many times as fast as ${result.baseline}, by ${result.clock} time, and between what the middle half of ${result.rounds} rounds lies.`,
    ...timed.map(operation => formatOperation(result, operation)),
    formatBudgets(result),
    result.contestants.map(({ name, options }) => `- ${name}: ${options}`).join('\n'),
    `${result.keys.toLocaleString('en')} keys. ${formatCircumstances(result, result.server)}`,
  ].join('\n\n')
}

export function formatImports(result: ImportResult): string {
  const { package: name, milliseconds, met } = result.budget
  return [
    '### Import',
    `Milliseconds of processor time that \`import\` takes in a fresh process, and between what the middle half of ${result.rounds} lies.`,
    markdownTable([['package', 'ms'], ...Object.entries(result.milliseconds).map(([key, ms]) => [key, range(ms, 1)])], {
      align: ['l', 'r'],
    }),
    `Wanted: ${name} under ${milliseconds} ms: ${verdict(met)}.`,
    formatCircumstances(result),
  ].join('\n\n')
}

function formatOperation({ baseline, cases, contestants }: SuiteResult, operation: Operation): string {
  const columns = cases.filter(one => one.operation === operation)
  const rows = contestants.filter(({ name }) => columns.some(one => name in one.ratios))
  const promises = operation === 'hit'
  return markdownTable(
    [
      [
        operations[operation],
        ...columns.map(({ size, concurrency }) => `${size}, ${concurrency} at a time`),
        ...(promises ? ['promises per call'] : []),
      ],
      ...rows.map(({ name }) => [
        name,
        ...columns.map(({ ratios }) => (name === baseline ? '1' : range(ratios[name]))),
        ...(promises ? [String(columns[0]?.promisesPerCall[name])] : []),
      ]),
    ],
    { align: ['l', ...columns.map(() => 'r'), 'r'] },
  )
}

function formatBudgets({ budgets }: SuiteResult): string {
  const rows = budgets.map(({ contestant, than, atLeast, ratios, met }) => {
    const [worst] = Object.entries(ratios).toSorted(([, a], [, b]) => a.median - b.median)
    return [
      `${contestant} at least ${atLeast} times as fast as ${than}`,
      worst === undefined ? '' : `${worst[1].median.toFixed(2)} (${worst[0]})`,
      verdict(met),
    ]
  })
  return markdownTable([['wanted', 'worst case', ''], ...rows])
}

function formatCircumstances({ date, machine, versions }: Circumstances, server?: string): string {
  const { cpu, cores, memory, system, load } = machine
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  if (server !== undefined) programs.push(server)
  return `${date.slice(0, 10)}, ${cores} cores of ${cpu}, ${memory}, ${system}, load ${load} before; ${programs.join(', ')}.`
}

const range = (spread: Spread | undefined, digits = 2): string => {
  if (spread === undefined) return ''
  const { median, low, high } = spread
  return `${median.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`
}

const verdict = (met: boolean): string => (met ? 'met' : '**not met**')
