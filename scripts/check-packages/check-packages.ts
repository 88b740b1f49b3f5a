// `pnpm check:packages`: packs the packages, publishes them to a registry of this process, and uses them from there as
// users would: outside the workspace, with npm, from both module systems, several compilers and test runners.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveService } from '../../packages/testing/src/index.ts'
import { checkChangeset, checkMinorOfCore } from './changesets.ts'
import { type Check, formatOutcomes, type Outcome, runChecks, tell } from './checks.ts'
import { endCommands, run } from './command.ts'
import { type Consumer, install, outsideEnvironment, type Surroundings } from './consumer.ts'
import { checkInstalled, checkSize } from './installed.ts'
import { once } from './once.ts'
import { type PublishedPackage, publishedPackages, workspace } from './published-packages.ts'
import { startRegistry } from './registry.ts'
import { checkContents, checkWithAttw, checkWithPublint, pack, type Tarball } from './tarballs.ts'
import { checkUses } from './uses.ts'

/** A package, what would be published of it, and a folder where only core and it are installed. */
interface Candidate extends PublishedPackage {
  readonly tarball: Tarball
  readonly installed: () => Promise<Consumer>
}

async function main(opened: AsyncDisposableStack): Promise<Outcome[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cachekit-packages-'))
  opened.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
  opened.defer(endCommands)

  await step('built', () => run('turbo', ['run', 'build', '--filter=./packages/*'], { cwd: workspace }))
  const packages = publishedPackages()
  const tarballs = await step('packed', () => packAll(packages, join(folder, 'tarballs')))
  const registry = await step('started a registry', () => startRegistry(join(folder, 'registry')))
  opened.defer(() => registry.close())
  await step('published', () => publishAll(tarballs, join(folder, 'tarballs'), registry.url))
  const redis = await step('found a Redis', () => resolveService('redis', { report: line => tell(line) }))
  opened.defer(() => redis.close())

  const env = { REDIS_URL: redis.url, TMPDIR: folder }
  const surroundings: Surroundings = { folder, registry: registry.url, env }
  const candidates = packages.map((published, index): Candidate => {
    const names = new Set(['@cachekit/core', published.name])
    return { ...published, tarball: tarballs[index] as Tarball, installed: once(() => install(surroundings, ...names)) }
  })
  const redisCandidate = candidates.find(({ name }) => name === '@cachekit/redis') as Candidate
  const checks: Check[] = [
    ...candidates.flatMap(checkCandidate),
    { title: 'a minor of core leaves the backends alone', run: () => checkMinorOfCore(folder) },
    ...checkUses(surroundings, redisCandidate.installed),
  ]
  return runChecks(checks, Math.max(2, availableParallelism()))
}

function checkCandidate(candidate: Candidate): Check[] {
  const { name, tarball, installed } = candidate
  return [
    { title: `${name}: files`, run: () => checkContents(tarball) },
    { title: `${name}: publint`, run: () => checkWithPublint(tarball) },
    { title: `${name}: attw`, run: () => checkWithAttw(tarball) },
    { title: `${name}: changeset`, run: () => checkChangeset(candidate) },
    { title: `${name}: dependencies`, run: async () => checkInstalled(candidate, await installed()) },
    { title: `${name}: size`, run: async () => checkSize(candidate, await installed()) },
  ]
}

async function packAll(packages: readonly PublishedPackage[], folder: string): Promise<Tarball[]> {
  await mkdir(folder)
  return Promise.all(packages.map(published => pack(published, folder)))
}

async function publishAll(tarballs: readonly Tarball[], folder: string, registry: string): Promise<void> {
  // npm publishes with a token only; this registry takes any.
  await writeFile(join(folder, '.npmrc'), `${registry.slice('http:'.length)}:_authToken=any\n`)
  for (const { file } of tarballs) {
    await run('npm', ['publish', '--registry', registry, file], { cwd: folder, env: outsideEnvironment() })
  }
}

/** Something without which there is nothing to check. */
async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await work()
  tell(title, performance.now() - start)
  return result
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, endCommands)
try {
  await using opened = new AsyncDisposableStack()
  const outcomes = await main(opened)
  const failures = outcomes.filter(({ problem }) => problem !== undefined).length
  console.log(`\n${formatOutcomes(outcomes)}\n`)
  console.log(
    failures === 0 ? `All ${outcomes.length} checks passed.` : `${failures} of ${outcomes.length} checks failed.`,
  )
  process.exitCode = failures === 0 ? 0 : 1
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
