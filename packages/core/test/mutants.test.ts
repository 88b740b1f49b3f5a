import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { killer } from './mutants/killer.ts'
import { type Mutant, mutants } from './mutants/mutants.ts'

test('there are mutants for every rule that can be broken without a network', () => {
  const rules = new Set(mutants.map(({ rule }) => rule))
  expect(mutants.length).toBeGreaterThanOrEqual(60)
  expect([...rules].map(rule => Number(rule.slice(1))).sort((a, b) => a - b)).toEqual([
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 27, 28, 29, 30, 32, 34, 36, 40,
  ])
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length)
})

describe('a case of the rule catches the mutant in which', () => {
  test.each(mutants.map(mutant => [mutant.rule, mutant.name, mutant] as const))(
    '%s: %s',
    async (_rule, _name, mutant) => {
      // Jest takes what nobody catches for a failure of the test, so such mutants run in a process of their own.
      expect(mutant.rule === 'R30' ? await killerElsewhere(mutant) : await killer(mutant)).toEqual({
        title: expect.stringMatching(`^${mutant.rule} `),
        reason: expect.any(String),
      })
    },
    30_000,
  )
})

async function killerElsewhere({ name }: Mutant): ReturnType<typeof killer> {
  const file = join(__dirname, 'mutants', 'run-killer.ts')
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=@cachekit/source', file, name])
  return JSON.parse(stdout)
}
