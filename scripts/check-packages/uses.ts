import assert from 'node:assert/strict'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { transform } from 'esbuild'
import type { Check } from './checks.ts'
import { addFiles, addProject, type Consumer, install, type Surroundings } from './consumer.ts'
import { once } from './once.ts'
import { workspace } from './published-packages.ts'

/** The README's example of a backend. */
const exampleFile = join(workspace, 'packages/core/examples/sqlite-backend.mjs')

/** How many lines it may have. */
const EXAMPLE_LIMIT = 60

/** How many tests a runner must at least have run. */
const FEWEST_TESTS = 100

/** The packages in use. `plain` has installed core and redis, and nothing else. */
export function checkUses(surroundings: Surroundings, plain: () => Promise<Consumer>): Check[] {
  const javascript = once(async () => {
    const consumer = await plain()
    await addFiles(consumer, 'javascript')
    await addExample(consumer)
    return consumer
  })
  const runners = once(() => install(surroundings, '@cachekit/core', '@cachekit/memory', 'jest', 'mocha', 'vitest'))
  return [
    program('import, on a real Redis', javascript, 'import.mjs'),
    program('require, on a real Redis', javascript, 'require.cjs'),
    program('ES modules and CommonJS in one process', javascript, 'two-copies.mjs'),
    conformanceCommand(javascript),
    runner(surroundings, runners, 'jest', ['npx', 'jest']),
    runner(surroundings, runners, 'vitest', ['npx', 'vitest', 'run']),
    runner(surroundings, runners, 'mocha', ['npx', 'mocha', 'cache.test.mjs']),
    runner(surroundings, runners, 'node-test', ['node', '--test']),
    // Later @types/node need a later TypeScript.
    ...typescript(surroundings, 'typescript@~5.4', '@types/node@24'),
    ...typescript(surroundings, 'typescript@latest', '@types/node@latest'),
  ]
}

function program(title: string, consumer: () => Promise<Consumer>, file: string): Check {
  return {
    title,
    async run() {
      await (await consumer()).run('node', file)
      return ''
    },
  }
}

function conformanceCommand(consumer: () => Promise<Consumer>): Check {
  return {
    title: 'npx @cachekit/core conformance',
    async run() {
      const lines = (await readFile(exampleFile, 'utf8')).trimEnd().split('\n').length
      assert.ok(lines < EXAMPLE_LIMIT, `the README's example has ${lines} lines, not fewer than ${EXAMPLE_LIMIT}`)
      const { stdout } = await (await consumer()).run('npx', '@cachekit/core', 'conformance', './conformance.mjs')
      return `${lines} lines: ${stdout.trim().split('\n').at(-1)}`
    },
  }
}

function runner(
  surroundings: Surroundings,
  installed: () => Promise<Consumer>,
  name: string,
  command: readonly [file: string, ...args: string[]],
): Check {
  return {
    title: `conformance() in ${name}`,
    async run() {
      const consumer = await addProject(surroundings, await installed(), name)
      await addExample(consumer)
      const { all } = await consumer.run(...command)
      const [, passed] =
        all
          .match(/\b(\d+) pass(?:ed|ing)\b/g)
          ?.at(-1)
          ?.match(/(\d+)/) ??
        all.match(/\bpass (\d+)/) ??
        []
      assert.ok(Number(passed) >= FEWEST_TESTS, `${passed} tests passed:\n${all.slice(-3000)}`)
      return `${passed} tests`
    },
  }
}

function typescript(surroundings: Surroundings, ...compiler: readonly string[]): Check[] {
  const consumer = once(async () => {
    const installed = await install(surroundings, '@cachekit/core', '@cachekit/memory', '@cachekit/redis', ...compiler)
    await addFiles(installed, 'typescript')
    const program = join(installed.folder, 'program.ts')
    for (const file of ['program.mts', 'program.cts']) await copyFile(program, join(installed.folder, file))
    return installed
  })
  const compile = async (tsconfig: string): Promise<string> => {
    await (await consumer()).run('npx', 'tsc', '-p', tsconfig)
    const { stdout } = await (await consumer()).run('npx', 'tsc', '--version')
    return stdout.trim()
  }
  return [
    {
      title: `${compiler[0]}, nodenext`,
      async run() {
        const version = await compile('tsconfig.nodenext.json')
        await (await consumer()).run('node', 'out/program.mjs')
        await (await consumer()).run('node', 'out/program.cjs')
        return `${version}; its output runs, too`
      },
    },
    {
      title: `${compiler[0]}, experimentalDecorators`,
      async run() {
        const version = await compile('tsconfig.legacy-decorators.json')
        await (await consumer()).run('node', 'out/legacy-decorators.js')
        return version
      },
    },
    { title: `${compiler[0]}, bundler`, run: () => compile('tsconfig.bundler.json') },
  ]
}

/** Puts the README's backend into the consumer's folder, also as CommonJS for what cannot load ES modules. */
async function addExample(consumer: Consumer): Promise<void> {
  const source = await readFile(exampleFile, 'utf8')
  await writeFile(join(consumer.folder, 'sqlite-backend.mjs'), source)
  const { code } = await transform(source, { format: 'cjs' })
  await writeFile(join(consumer.folder, 'sqlite-backend.cjs'), code)
}
