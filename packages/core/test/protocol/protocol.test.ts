import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCache } from '../../src/index.ts'
import { type ProtocolMutant, protocolMutants } from './protocol-mutants.ts'
import { type CreateCache, exploreAll, exploreRandom, type Scenario } from './simulation.ts'

const source = join(__dirname, '../../src')

/** `createCache` of a copy of this package with the mutant's edit. */
function mutate({ file, replace, by }: ProtocolMutant, folder: string): CreateCache {
  cpSync(source, folder, { recursive: true, filter: path => !path.includes('conformance') })
  const path = join(folder, file)
  const parts = readFileSync(path, 'utf8').split(replace)
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${replace}`)
  writeFileSync(path, parts.join(by))
  return require(join(folder, 'index.ts')).createCache
}

const scenarios: readonly Scenario[] = [
  {
    tasks: [
      ['load', 0],
      ['delete', 1],
      ['load', 1],
    ],
    lease: 'store',
    slowAnswers: false,
  },
  {
    tasks: [
      ['load', 0],
      ['load', 0],
      ['delete', 1],
    ],
    lease: 'store',
    slowAnswers: false,
  },
  {
    tasks: [
      ['load', 0],
      ['set', 1],
      ['get', 1],
    ],
    lease: 'store',
    slowAnswers: false,
  },
  {
    tasks: [
      ['load with tag', 0],
      ['deleteByTag', 1],
    ],
    lease: 'store',
    slowAnswers: true,
  },
  {
    tasks: [
      ['load', 0],
      ['delete', 0],
      ['load', 0],
    ],
    lease: 'process',
    slowAnswers: false,
  },
  {
    tasks: [
      ['load with tag', 0],
      ['delete', 0],
    ],
    lease: 'store',
    stale: true,
    slowAnswers: false,
  },
]

describe('no call that starts after an invalidation answers a value whose loader began before it', () => {
  test.each(scenarios.map(scenario => [JSON.stringify(scenario), scenario] as const))(
    'in the interleavings of %s',
    async (_, scenario) => {
      const { found, runs, complete } = await exploreAll(createCache, scenario, 8000)
      expect(found).toBe(undefined)
      expect(complete || runs === 8000).toBe(true)
    },
    60_000,
  )

  test('in random interleavings of up to six tasks', async () => {
    const seed = Math.floor(Math.random() * 2 ** 32)
    const { found } = await exploreRandom(createCache, seed, 5000)
    expect(found && `seed ${seed}: ${found}`).toBe(undefined)
  }, 60_000)
})

describe('the search finds that', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cachekit-mutant-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test.each(protocolMutants.map(mutant => [mutant.name, mutant] as const))(
    '%s',
    async (_, mutant) => {
      const { found } = await exploreRandom(mutate(mutant, folder), 1, 20_000, mutant.tasks, mutant.tiered)
      expect(found).toContain('answers a value from')
    },
    60_000,
  )
})
