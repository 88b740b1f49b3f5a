import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import type { Consumer } from './consumer.ts'
import type { PublishedPackage } from './published-packages.ts'

/** What each package may bring besides core: the driver of its store, and what the driver brings. */
const drivers: Readonly<Record<string, readonly string[]>> = {
  '@cachekit/core': [],
  '@cachekit/memory': [],
  '@cachekit/redis': ['ioredis'],
  '@cachekit/postgres': ['pg', '@types/pg'],
  '@cachekit/memcached': ['memcached'],
  '@cachekit/mongodb': ['mongodb'],
  '@cachekit/firestore': ['@google-cloud/firestore', 'google-auth-library'],
  '@cachekit/dynamodb': ['@aws-sdk/client-dynamodb'],
}

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** The package brings core and its own driver, and nothing else. The consumer has installed nothing but core and it. */
export async function checkInstalled({ name }: PublishedPackage, consumer: Consumer): Promise<string> {
  const own = drivers[name]
  assert.ok(own, `${name} is new: say in ${import.meta.filename} which driver it may bring`)
  const lock = JSON.parse(await readFile(join(consumer.folder, 'node_modules/.package-lock.json'), 'utf8'))
  const packages = Object.entries(lock.packages as Record<string, LockedPackage>).map(
    ([path, locked]) => [path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length), locked] as const,
  )
  const dependencies = (wanted: string): string[] =>
    packages
      .filter(([installed]) => installed === wanted)
      .flatMap(([, locked]) => Object.keys({ ...locked.dependencies, ...locked.optionalDependencies }))

  assert.deepEqual(dependencies('@cachekit/core'), [], 'what core depends on')
  if (name !== '@cachekit/core') {
    assert.deepEqual(dependencies(name).sort(), ['@cachekit/core', ...own].sort(), `what ${name} depends on`)
  }
  const expected = new Set(['@cachekit/core', name, ...own])
  for (const member of expected) for (const dependency of dependencies(member)) expected.add(dependency)
  const strangers = packages.map(([installed]) => installed).filter(installed => !expected.has(installed))
  assert.deepEqual(strangers, [], 'nobody depends on these')
  return `${packages.length} packages${own.length > 0 ? `: core, ${own.join(', ')} and what that needs` : ''}`
}

/** In bytes, minified and compressed by gzip. */
const SIZE_LIMIT = 10_000
/**
 * `createCache` is over the 10,000 bytes that it should have, since it has leases, tags, stale values and tiers: this only keeps
 * it from growing on.
 */
const CORE_SIZE_LIMIT = 15_500

/** What the package itself adds to a bundle; of core, what `createCache` pulls in. Dependencies are not counted. */
export async function checkSize({ name, manifest }: PublishedPackage, consumer: Consumer): Promise<string> {
  const exports = name === '@cachekit/core' ? '{ createCache }' : '*'
  const { outputFiles } = await build({
    stdin: { contents: `export ${exports} from '${name}'`, resolveDir: consumer.folder },
    external: Object.keys(manifest.dependencies ?? {}),
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    write: false,
  })
  const size = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).byteLength
  const limit = name === '@cachekit/core' ? CORE_SIZE_LIMIT : SIZE_LIMIT
  assert.ok(size <= limit, `${size} bytes, more than ${limit}`)
  return size > SIZE_LIMIT ? `${size} bytes, over the budget of ${SIZE_LIMIT}` : `${size} of ${SIZE_LIMIT} bytes`
}
