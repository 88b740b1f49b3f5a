import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { conformance } from '../src/conformance/index.ts'
import { type Killer, networkKiller } from './mutants/killer.ts'
import { NetworkBackend } from './mutants/network-backend.ts'
import { type NetworkMutant, networkMutants } from './mutants/network-mutants.ts'
import { ReferenceServer } from './mutants/reference-server.ts'

describe('a correct backend over a network keeps, also when the network fails,', () => {
  const server = new ReferenceServer()
  const address = { host: server.host, port: 0 }
  beforeAll(async () => {
    await server.start()
    address.port = server.port
  })
  afterAll(() => server.stop())

  const create = (options: object, { host, port } = address): NetworkBackend =>
    new NetworkBackend({ host, port }, options)
  const everywhere = new Set(conformance({ create }).map(({ title }) => title))
  const faults = conformance({ create, server: address }).filter(({ title }) => !everywhere.has(title))
  for (const { title, run, timeout } of faults) test(title, run, timeout)
})

test('there are mutants for every rule that a network breaks', () => {
  const rules = new Set(networkMutants.map(({ rule }) => Number(rule.slice(1))))
  expect([...rules].sort((a, b) => a - b)).toEqual([1, 4, 12, 23, 25, 26, 27, 28, 30, 31, 32, 33, 34, 35])
})

describe('a case of the rule catches the mutant in which', () => {
  test.concurrent.each(networkMutants.map(mutant => [mutant.rule, mutant.name, mutant] as const))(
    '%s: %s',
    async (_rule, _name, mutant) => {
      // Jest takes what nobody catches for a failure of the test, so such mutants run in a process of their own.
      expect(mutant.rule === 'R30' ? await killerElsewhere(mutant) : await networkKiller(mutant)).toEqual({
        title: expect.stringMatching(`^${mutant.rule} `),
        reason: expect.any(String),
      })
    },
    60_000,
  )
})

async function killerElsewhere({ name }: NetworkMutant): Promise<Killer | undefined> {
  const file = join(__dirname, 'mutants', 'run-killer.ts')
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=@cachekit/source', file, name])
  return JSON.parse(stdout)
}
