import { setTimeout as sleep } from 'node:timers/promises'
import type { BackendSupports } from '../backend.ts'
import type { Rule } from './case.ts'
import { describe } from './check.ts'
import { type ConformanceOptions, type PreparedCase, prepareCases, randomSeed } from './conformance.ts'

/** What one case found. */
export interface ConformanceResult {
  readonly rule: Rule
  readonly title: string
  /** `not supported`: the backend does not claim what the case is about (see `supports`), so there is nothing to prove. */
  readonly status: 'passed' | 'failed' | 'not supported'
  /** How long it took. */
  readonly milliseconds: number
  /** Why it failed. */
  readonly reason?: string
}

/** How many cases of one rule ended in which way. */
export interface RuleSummary {
  readonly rule: Rule
  readonly passed: number
  readonly failed: number
  readonly notSupported: number
}

/** Plain data, for people and for machines. */
export interface ConformanceReport {
  /** The backend's `name`. */
  readonly backend: string
  readonly supports: BackendSupports
  /** Gives the same random parts again. */
  readonly seed: number
  /** Whether no case failed. */
  readonly passed: boolean
  readonly milliseconds: number
  /** In the order of their numbers. */
  readonly rules: readonly RuleSummary[]
  readonly results: readonly ConformanceResult[]
}

export interface RunOptions {
  /** How many cases run side by side. Default: 8. */
  readonly concurrency?: number | undefined
  /** Called after each case, with how many there are. */
  readonly onResult?: ((result: ConformanceResult, count: number) => void) | undefined
}

/** How long to look for what comes after the last close(), in milliseconds. */
const AFTERMATH = 50

/**
 * Runs all cases of the kit, side by side, and reports. It rejects only if not even one backend can be created.
 * While it runs, exceptions and rejections that nobody handles are its own: they count as failures of rule R30.
 */
export async function runConformance(options: ConformanceOptions, run: RunOptions = {}): Promise<ConformanceReport> {
  const { concurrency = 8, onResult } = run
  const start = performance.now()
  const seed = options.seed ?? randomSeed()
  const sample = await options.create({ namespace: 'kit' }, options.server)
  const { name, supports } = sample
  await sample.close()

  const cases = prepareCases({ ...options, seed }, seed)
  const results: ConformanceResult[] = new Array(cases.length)
  const crashes = watchForCrashes()
  try {
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < cases.length) {
        const index = next++
        const result = await judge(cases[index] as PreparedCase)
        results[index] = result
        onResult?.(result, cases.length + 1)
      }
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
    await sleep(AFTERMATH)
  } finally {
    crashes.stop()
  }
  const crashed = crashes.result()
  onResult?.(crashed, cases.length + 1)
  results.push(crashed)
  return {
    backend: name,
    supports,
    seed,
    passed: results.every(({ status }) => status !== 'failed'),
    milliseconds: Math.round(performance.now() - start),
    rules: summarise(results),
    results,
  }
}

async function judge(prepared: PreparedCase): Promise<ConformanceResult> {
  const { rule, title } = prepared
  const start = performance.now()
  const since = (): number => Math.round(performance.now() - start)
  try {
    return { rule, title, status: await prepared.judge(), milliseconds: since() }
  } catch (error) {
    return { rule, title, status: 'failed', milliseconds: since(), reason: (error as Error).message }
  }
}

/** A driver's `error` event without a listener, or a promise that everybody forgot, would end the process. */
export function watchForCrashes(): { stop: () => void; result: () => ConformanceResult } {
  const seen: unknown[] = []
  const see = (error: unknown): void => {
    seen.push(error)
  }
  process.on('uncaughtException', see)
  process.on('unhandledRejection', see)
  return {
    stop: () => {
      process.off('uncaughtException', see)
      process.off('unhandledRejection', see)
    },
    result: () => {
      const base = { rule: 'R30', title: 'R30 nothing fails where nobody can catch it', milliseconds: 0 } as const
      if (seen.length === 0) return { ...base, status: 'passed' }
      const reason = `${seen.length} exceptions or rejections that nobody handled; the first one: ${describe(seen[0])}`
      return { ...base, status: 'failed', reason }
    },
  }
}

function summarise(results: readonly ConformanceResult[]): RuleSummary[] {
  const rules = [...new Set(results.map(({ rule }) => rule))].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))
  return rules.map(rule => {
    const count = (status: ConformanceResult['status']): number =>
      results.filter(result => result.rule === rule && result.status === status).length
    return { rule, passed: count('passed'), failed: count('failed'), notSupported: count('not supported') }
  })
}
