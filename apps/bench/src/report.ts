import { markdownTable } from 'markdown-table'
import type { Circumstances } from './circumstances.ts'
import type { ImportResult } from './import-time.ts'
import type { Spread } from './spread.ts'
import type { Operation } from './suite.ts'
import type { SuiteResult } from './suite-result.ts'

const operations: Readonly<Record<Operation, string>> = {
  hit: 'read-through hit',
  get: 'get',
  set: 'set',
  getMany: 'getMany of 100 keys',
}

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
