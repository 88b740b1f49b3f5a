import type { BackendSupports } from '../src/backend.ts'
import type { CaseDefinition } from '../src/conformance/case.ts'
import { prepare } from '../src/conformance/conformance.ts'
import * as corpora from '../src/conformance/corpora.ts'
import { conformance, runConformance } from '../src/conformance/index.ts'
import { onOneStore } from './mutants/killer.ts'
import { LiveBackend } from './mutants/live-backend.ts'
import { ReferenceBackend, ReferenceStore } from './mutants/reference-backend.ts'

const onReference = (supports: Partial<BackendSupports> = {}, store = new ReferenceStore()) =>
  onOneStore(ReferenceBackend, supports, store)

describe('conformance()', () => {
  describe('of a correct backend', () => {
    for (const { title, run, timeout } of conformance(onReference())) test(title, run, timeout)
  })

  test('cases are data that any runner takes', () => {
    const cases = conformance(onReference())
    expect(new Set(cases.map(({ title }) => title)).size).toBe(cases.length)
    for (const { rule, title, timeout, run } of cases) {
      expect(title.startsWith(`${rule} `)).toBe(true)
      expect(timeout).toBeGreaterThan(0)
      expect(run.length).toBe(0)
    }
  })

  test('most cases are run again in a namespace', () => {
    const titles = conformance(onReference()).map(({ title }) => title)
    const again = titles.filter(title => title.endsWith(', in a namespace'))
    expect(again.length).toBeGreaterThan(titles.length / 3)
    for (const title of again) expect(titles).toContain(title.replace(', in a namespace', ''))
  })

  test('a case that hangs fails by itself', async () => {
    const hanging: CaseDefinition = { rule: 'R1', title: 'hangs', run: () => new Promise(() => {}) }
    const { run } = prepare(hanging, 'root', onReference(), 1, 200)
    await expect(run()).rejects.toThrow('did not settle within 200 ms (seed 1)')
  })

  test('an error of the backend fails a case, with its code and its cause', async () => {
    const broken = class extends ReferenceBackend {
      protected override async _get(): Promise<undefined> {
        throw new Error('relation does not exist')
      }
    }
    const [first] = conformance(onOneStore(broken))
    await expect(first?.run()).rejects.toThrow(/CACHE_BACKEND_FAILED .* relation does not exist/)
  })

  test('the seed decides about the random parts, and a failure names it', async () => {
    const broken = class extends ReferenceBackend {
      override has(): Promise<boolean> {
        return Promise.resolve(true)
      }
    }
    const reason = async (seed: number): Promise<string> => {
      const random = conformance({ ...onOneStore(broken), seed }).find(({ title }) => title.includes('random calls'))
      return (await random?.run().catch(error => error.message)) ?? 'passed'
    }
    expect(await reason(1)).toContain('(seed 1)')
    expect(await reason(1)).toBe(await reason(1))
    const reasons = await Promise.all([1, 2, 3, 4, 5].map(async seed => (await reason(seed)).replace(/seed \d/, '')))
    expect(new Set(reasons).size).toBeGreaterThan(1)
  })

  test('random calls that fail are cut down to the few that matter, printed as code', async () => {
    const broken = class extends ReferenceBackend {
      override async touch(...args: Parameters<ReferenceBackend['touch']>): Promise<boolean> {
        return (await super.touch(...args)) && args[1].ttl !== 5
      }
    }
    const random = conformance({ ...onOneStore(broken), seed: 3 }).find(({ title }) => title.includes('random calls'))
    const message: string = await random?.run().catch(error => error.message)
    expect(message).toContain('the last of these calls: expected true, got false')
    const calls = message.split('\n').filter(line => line.startsWith('await '))
    expect(calls).toHaveLength(2)
    expect(calls[1]).toMatch(/^await \w+\.touch\(".*", \{ ttl: 5 \}\)$/)
  })
})

describe('runConformance()', () => {
  test.each<[string, Partial<BackendSupports>]>([
    ['whose clock is the store', { clock: 'store' }],
    ['that is not shared', { shared: false }],
    ['that lists no keys', { iteration: false }],
    ['that evicts', { evicts: true, shared: false, clock: 'store' }],
  ])(
    'a correct backend %s passes',
    async (_, supports) => {
      const { results, passed } = await runConformance(onReference(supports))
      expect(results.filter(({ status }) => status === 'failed')).toEqual([])
      expect(passed).toBe(true)
      const declined = results.filter(({ status, rule }) => status === 'not supported' && rule !== 'R36')
      expect(declined.length > 0).toBe(supports.iteration === false)
    },
    60_000,
  )

  test('a correct backend with a live view passes', async () => {
    const { results, passed } = await runConformance(onOneStore(LiveBackend, { shared: false }))
    expect(results.filter(({ status }) => status === 'failed')).toEqual([])
    expect(passed).toBe(true)
    const live = results.filter(({ title }) => title.includes('live is a synchronous view'))
    expect(live.map(({ status }) => status)).toEqual(['passed', 'passed'])
  }, 60_000)

  test('three runs at a time on one store do not disturb one another, and leave nothing behind', async () => {
    const store = new ReferenceStore()
    const foreign = new ReferenceBackend({ store, namespace: 'kit' })
    await foreign.set('mine', Buffer.from('1'))
    const reports = await Promise.all([1, 2, 3].map(() => runConformance(onReference({}, store))))
    for (const { results } of reports) expect(results.filter(({ status }) => status === 'failed')).toEqual([])
    expect([...store.records.keys()]).toEqual(['kit:mine'])
  }, 60_000)

  test('the report is plain data with a row for each rule', async () => {
    const seen: string[] = []
    const report = await runConformance(
      {
        ...onOneStore(
          class extends ReferenceBackend {
            override has(): Promise<boolean> {
              return Promise.resolve(true)
            }
          },
        ),
        seed: 7,
      },
      { concurrency: 4, onResult: ({ title }) => seen.push(title) },
    )
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
    expect(report).toMatchObject({ backend: 'reference', seed: 7, passed: false, supports: { clock: 'caller' } })
    expect(seen.sort()).toEqual(report.results.map(({ title }) => title).sort())
    expect(report.rules.map(({ rule }) => Number(rule.slice(1)))).toEqual(
      [...new Set(report.results.map(({ rule }) => Number(rule.slice(1))))].sort((a, b) => a - b),
    )
    const r1 = report.results.filter(({ rule }) => rule === 'R1')
    expect(report.rules[0]).toEqual({
      rule: 'R1',
      passed: r1.filter(({ status }) => status === 'passed').length,
      failed: r1.filter(({ status }) => status === 'failed').length,
      notSupported: 0,
    })
    expect(report.results.find(({ status }) => status === 'failed')?.reason).toContain(
      'has of a missing key: expected false, got true',
    )
  }, 60_000)

  test('it rejects with the error of create() if not even one backend can be made', async () => {
    const create = (): never => {
      throw new Error('no such server')
    }
    await expect(runConformance({ create })).rejects.toThrow('no such server')
  })
})

describe('the corpora', () => {
  test('hold no two equal keys, names or ttls', () => {
    for (const list of [corpora.hostileKeys, corpora.hostileNames, corpora.hostileTtls, corpora.hostileTexts]) {
      expect(list.filter((item, index) => (list as readonly unknown[]).indexOf(item) !== index)).toEqual([])
    }
  })

  test('hold keys up to the longest one that is allowed', () => {
    const sizes = corpora.hostileKeys.map(key => Buffer.byteLength(key))
    expect(Math.max(...sizes)).toBe(8192)
    expect(Math.min(...sizes)).toBe(1)
  })
})
