import type { BackendSupports } from '../../src/backend.ts'
import { type ConformanceOptions, prepareCases, randomSeed } from '../../src/conformance/conformance.ts'
import { runConformance } from '../../src/conformance/run-conformance.ts'
import type { Mutant } from './mutants.ts'
import { ReferenceBackend, ReferenceStore } from './reference-backend.ts'

/** For the kit: backends of this class on a store of their own. */
export function onOneStore(
  Backend: typeof ReferenceBackend,
  supports: Partial<BackendSupports> = {},
  store: ReferenceStore = new ReferenceStore(),
): ConformanceOptions {
  const shared = supports.shared ?? true
  return { create: options => new Backend({ ...options, supports, ...(shared ? { store } : {}) }) }
}

/** The first case of the rule which a mutant breaks that catches it. */
export async function killer(mutant: Mutant): Promise<{ title: string; reason: string | undefined } | undefined> {
  const options = onOneStore(mutant.mutate(ReferenceBackend), mutant.supports)
  for (const { rule, title, run } of prepareCases(options, randomSeed())) {
    if (rule !== mutant.rule) continue
    const reason = await run().then(
      () => undefined,
      (error: Error) => error.message,
    )
    if (reason !== undefined) return { title, reason }
  }
  // What nobody can catch, no case can: the run as a whole does.
  const { results } = mutant.rule === 'R30' ? await runConformance(options) : { results: [] }
  const crash = results.find(({ rule, status }) => rule === mutant.rule && status === 'failed')
  return crash && { title: crash.title, reason: crash.reason }
}
