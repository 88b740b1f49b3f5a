import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeService } from '@cachekit/testing'
import type { SuiteResult } from '../src/suite-result.ts'
import { type Outcome, runBench, runNode } from './run-bench.ts'

jest.setTimeout(60_000)

const folder = mkdtempSync(join(tmpdir(), 'cachekit-bench-'))
afterAll(() => rmSync(folder, { recursive: true }))

const saved = (name: string): SuiteResult => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'))

describe('a run', () => {
  let shared: Outcome
  let isolated: Outcome
  beforeAll(async () => {
    const run = (suite: string, ...options: string[]): Promise<Outcome> =>
      runBench('--quick', `--filter=${suite}: hit, small`, `--output=${folder}`, ...options)
    ;[shared, isolated] = await Promise.all([run('memory'), run('memory-isolated', '--json')])
  })

  test('prints a row for each library', () => {
    expect(shared).toMatchObject({ status: 0 })
    for (const name of ['lru-cache get', 'cachekit', 'lru-cache fetch', 'layered-loader', 'bentocache', 'keyv']) {
      expect(shared.stdout).toMatch(new RegExp(`^\\| ${name} +\\| +\\d`, 'm'))
      expect(saved('memory').cases[0]?.ratios[name]?.median).toBeGreaterThan(0)
    }
  })

  test('writes where and with what it was measured', () => {
    const { date, machine, versions } = saved('memory')
    expect(machine).toMatchObject({ cores: expect.any(Number), system: expect.any(String) })
    expect(versions).toMatchObject({ node: process.versions.node, 'lru-cache': expect.stringMatching(/^\d+\./) })
    expect(Date.parse(date)).not.toBeNaN()
  })

  test('with --json prints the results and nothing else', () => {
    expect(JSON.parse(isolated.stdout)).toEqual({ suites: [saved('memory-isolated')] })
  })

  test('finds at most one promise for each hit in memory', () => {
    for (const suite of ['memory', 'memory-isolated']) {
      const { cachekit, bentocache } = saved(suite).cases[0]?.promisesPerCall ?? {}
      expect(cachekit).toBeLessThanOrEqual(1)
      expect(bentocache).toBeGreaterThan(1) // so promises are counted
    }
  })
})

test('a library that answers with something else than was set is not timed', async () => {
  const { stdout } = await runNode('wrong-answers.ts')
  expect(stdout.trim().split('\n')).toEqual(['timed', 'refused', 'refused', 'timed', 'refused'])
})

test('--help names every suite', async () => {
  const { status, stdout } = await runBench('--help')
  expect(status).toBe(0)
  for (const name of ['--filter', '--redis-url', 'memory-isolated', 'redis', 'import']) expect(stdout).toContain(name)
})

test('a filter that nothing fits is an error', async () => {
  expect(await runBench('--filter=nothing')).toMatchObject({ status: 1, stderr: expect.stringContaining('"nothing"') })
})

test('the notes show the results that are in the repository', async () => {
  const { stdout, status } = await runBench('--show')
  expect(status).toBe(0)
  const note = (name: string): string => readFileSync(join(__dirname, '../../../docs', name), 'utf8')
  expect(note('benchmarks.md')).toContain(`\n\n${stdout.trim()}\n\n`)
  expect(stdout).toContain('### Memory: hits by reference')
  const [, latencies = 'none'] = stdout.split('### How long a call takes')
  expect(note('choosing-a-backend.md')).toContain(`${latencies.trim()}\n\n`)
})

test('^C ends a run before the next thing is measured, with all that it started', async () => {
  const main = join(__dirname, '../src/main.ts')
  const child = spawn(process.execPath, ['--conditions=@cachekit/source', main, '--filter=memory: hit, small, 1 at'])
  let told = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    // The bar: there is something to interrupt.
    if (told === '') child.kill('SIGINT')
    told += text
  })
  const [status] = await once(child, 'close') // when nobody holds its output any more, its own processes included
  expect([status, told]).toEqual([130, expect.stringContaining('Interrupted.')])
})

describeService('redis', ({ url }) => {
  test('a server is used where it is said to be', async () => {
    const options = ['--quick', '--filter=redis-bytes: getMany, small, 1 at', `--output=${folder}`]
    const { stdout } = await runBench(...options, `--redis-url=${url}`)
    expect(stdout).toMatch(/^\| cachekit backend +\| +\d/m)
    expect(saved('redis-bytes').server).toContain('redis')
  })
})
