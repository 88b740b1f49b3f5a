import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ConformanceReport } from '../src/conformance/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'cachekit-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const url = (...path: string[]): string => JSON.stringify(pathToFileURL(join(__dirname, ...path)).href)

function write(name: string, code: string): string {
  const path = join(folder, name)
  writeFileSync(path, code)
  return path
}

// What `bin/cachekit.js` does, from the sources.
const command = write(
  'cachekit.mjs',
  `import { runCommand } from ${url('../src/conformance/cli.ts')}\nawait runCommand()\n`,
)

function run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise(resolve => {
    const child = execFile(
      process.execPath,
      ['--conditions=@cachekit/source', '--disable-warning=ExperimentalWarning', command, ...args],
      { cwd: folder, maxBuffer: 10_000_000 },
      (_, stdout, stderr) => resolve({ status: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

const sqlite = write(
  'sqlite.mjs',
  `import { SqliteBackend } from ${url('../examples/sqlite-backend.mjs')}
   export const create = options => new SqliteBackend({ path: ${JSON.stringify(join(folder, 'cache.db'))}, ...options })`,
)
write(
  'broken.mjs',
  `import { ReferenceBackend, ReferenceStore } from ${url('mutants/reference-backend.ts')}
   const store = new ReferenceStore()
   class Broken extends ReferenceBackend {
     async has() { return true }
   }
   export const create = options => new Broken({ store, ...options })`,
)

test('the example backend of this package keeps the contract', async () => {
  const { status, stdout, stderr } = await run('conformance', sqlite)
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^[.-]{80} 80\/\d+$/m)
  expect(stdout).toMatch(/^ {6} +passed +failed +not supported$/m)
  expect(stdout).toMatch(/^R1 +\d+$/m)
  expect(stdout).toMatch(/^sqlite keeps the contract: \d+ cases in [\d.]+ s \(seed \d+\)\.$/m)
  expect(status).toBe(0)
}, 120_000)

test('a broken backend gets a reason for each failure, with the seed, and exit status 1', async () => {
  const { status, stdout } = await run('conformance', './broken.mjs', '--seed', '7')
  expect(stdout).toContain(
    'FAILED R1 a miss is undefined, on every way to read\n  has of a missing key: expected false, got true (seed 7)',
  )
  expect(stdout).toMatch(/^reference breaks the contract: \d+ of \d+ cases failed in [\d.]+ s \(seed 7\)\.$/m)
  expect(status).toBe(1)
}, 120_000)

test('--json prints the report and nothing else', async () => {
  const { status, stdout, stderr } = await run('conformance', 'broken.mjs', '--json', '--seed', '7')
  const report: ConformanceReport = JSON.parse(stdout)
  expect(report).toMatchObject({ backend: 'reference', seed: 7, passed: false })
  expect(report.rules.find(({ rule }) => rule === 'R1')?.failed).toBeGreaterThan(0)
  expect(stderr).toBe('')
  expect(status).toBe(1)
}, 120_000)

test('a backend that leaves something open is named, and the command ends all the same', async () => {
  const leaking = write(
    'leaking.mjs',
    `setInterval(() => {}, 1000)\nexport * from ${url('../test/mutants/reference-backend.ts')}
    import { ReferenceBackend, ReferenceStore } from ${url('mutants/reference-backend.ts')}
    const store = new ReferenceStore()
    export const create = options => new ReferenceBackend({ store, ...options })`,
  )
  const { status, stderr } = await run('conformance', leaking)
  expect(stderr).toMatch(/Something keeps the process alive, 3 s after the last close\(\): .*Timeout/)
  expect(status).toBe(0)
}, 120_000)

test.each([
  ['a file that is missing', ['conformance', 'nowhere.mjs'], /^There is no file .*nowhere\.mjs\.$/m],
  [
    'a module without create()',
    ['conformance', write('empty.mjs', 'export const name = 1')],
    /exports no function "create"/,
  ],
  [
    'a module that cannot be loaded',
    ['conformance', write('wrong.mjs', 'import "nothing-of-that-name"')],
    /cannot be loaded: .*nothing-of-that-name/,
  ],
  [
    'a create() that fails',
    ['conformance', write('failing.mjs', 'export const create = () => { throw new Error("no server") }')],
    /no server/,
  ],
  ['no module', ['conformance'], /^Name one module\./],
  ['another command', ['benchmark'], /^There is no command "benchmark"\./],
  ['an unknown option', ['conformance', sqlite, '--fast'], /--fast/],
  ['a seed that is none', ['conformance', sqlite, '--seed', 'x'], /^--seed takes a number/],
  ['nothing at all', [], /^Proves a CacheKit backend/],
])('%s gets a clear error and exit status 2', async (_, args, message) => {
  const { status, stdout, stderr } = await run(...args)
  expect(stderr).toMatch(message)
  expect(stdout).toBe('')
  expect(status).toBe(2)
})

test('--help tells how to use it', async () => {
  const { status, stdout } = await run('--help')
  expect(stdout).toContain('npx @cachekit/core conformance <module>')
  expect(status).toBe(0)
})
