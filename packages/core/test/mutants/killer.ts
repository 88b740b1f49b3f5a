import type { BackendSupports } from '../../src/backend.ts'
import type { Rule } from '../../src/conformance/case.ts'
import { type ConformanceOptions, prepareCases, randomSeed } from '../../src/conformance/conformance.ts'
import { watchForCrashes } from '../../src/conformance/run-conformance.ts'
import type { Mutant } from './mutants.ts'
import { NetworkBackend } from './network-backend.ts'
import type { NetworkMutant } from './network-mutants.ts'
import { ReferenceBackend, ReferenceStore } from './reference-backend.ts'
import { ReferenceServer } from './reference-server.ts'

/** For the kit: backends of this class on a store of their own. */
export function onOneStore(
  Backend: typeof ReferenceBackend,
  supports: Partial<BackendSupports> = {},
  store: ReferenceStore = new ReferenceStore(),
): ConformanceOptions {
  const shared = supports.shared ?? true
  return { create: options => new Backend({ ...options, supports, ...(shared ? { store } : {}) }) }
}

/** What catches a mutant: the title of the case, and the reason that it gives. */
export interface Killer {
  readonly title: string
  readonly reason: string | undefined
}

/** The first case of the rule which a mutant breaks that catches it. */
export function killer(mutant: Mutant): Promise<Killer | undefined> {
  return firstFailure(mutant.rule, onOneStore(mutant.mutate(ReferenceBackend), mutant.supports))
}

/** The same for a mutant over a network. */
export async function networkKiller(mutant: NetworkMutant): Promise<Killer | undefined> {
  const server = await new ReferenceServer().start()
  const { host, port } = server
  const Backend = mutant.mutate(NetworkBackend)
  try {
    return await firstFailure(mutant.rule, {
      create: (options, given = { host, port }) => new Backend(given, options),
      server: { host, port },
    })
  } finally {
    await server.stop()
  }
}

async function firstFailure(rule: Rule, options: ConformanceOptions): Promise<Killer | undefined> {
  if (rule === 'R30') return firstCrash(options)
  for (const { title, run } of prepareCases(options, randomSeed()).filter(prepared => prepared.rule === rule)) {
    const reason = await run().then(
      () => undefined,
      (error: Error) => error.message,
    )
    if (reason !== undefined) return { title, reason }
  }
  return undefined
}

/** What nobody can catch, no case can: `runConformance` does. Cases of an outage, the last ones, bring it to light first. */
async function firstCrash(options: ConformanceOptions): Promise<Killer | undefined> {
  const crashes = watchForCrashes()
  try {
    const cases = prepareCases(options, randomSeed()).filter(({ title }) => !title.endsWith(', in a namespace'))
    for (const { run } of cases.toReversed()) {
      await run().catch(() => {})
      await new Promise(resolve => setTimeout(resolve, 10))
      const { status, title, reason } = crashes.result()
      if (status === 'failed') return { title, reason }
    }
    return undefined
  } finally {
    crashes.stop()
  }
}
