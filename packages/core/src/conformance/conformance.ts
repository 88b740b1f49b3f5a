import { types } from 'node:util'
import type { CacheBackend } from '../backend.ts'
import type { BackendOptions } from '../base-backend.ts'
import { isCacheError } from '../errors.ts'
import type { CaseDefinition, Rule } from './case.ts'
import { definitions, faultDefinitions } from './cases/index.ts'
import { describe } from './check.ts'
import { Fixture, type Scope } from './fixture.ts'
import { deriveSeed, Random } from './random.ts'

export interface ConformanceOptions {
  /**
   * A fresh backend on the same store at each call. It passes `options` on to the constructor: their namespace keeps runs
   * apart, and their clock is moved by hand. `server` is where to connect when the fault cases are on.
   */
  create(
    options: BackendOptions,
    server?: { readonly host: string; readonly port: number },
  ): CacheBackend | PromiseLike<CacheBackend>
  /** Turns the fault cases on: a proxy of the kit between the backend and this server. */
  readonly server?: { readonly host: string; readonly port: number } | undefined
  /** Of the random parts. Default: another one at each call; failures name it. */
  readonly seed?: number | undefined
}

/** One thing that a rule demands of a backend, ready for any test runner. */
export interface ConformanceCase {
  readonly rule: Rule
  readonly title: string
  /** Milliseconds to give it in a runner; `run` itself rejects by then. */
  readonly timeout: number
  /** Proves it on backends of its own, whatever else runs on the store at the time. Rejects with the reason. */
  run(): Promise<void>
}

/** A case, and what it found: the kit's own view of it. */
export interface PreparedCase extends ConformanceCase {
  judge(): Promise<'passed' | 'not supported'>
}

/** The cases that prove a backend: each once in the backend's own namespace, most also in one made from it. */
export function conformance(options: ConformanceOptions): readonly ConformanceCase[] {
  return prepareCases(options, options.seed ?? randomSeed())
}

export function prepareCases(options: ConformanceOptions, seed: number): readonly PreparedCase[] {
  const all = options.server === undefined ? definitions : [...definitions, ...faultDefinitions]
  return [
    ...all.map(definition => prepare(definition, 'root', options, seed)),
    ...all.filter(({ rootOnly }) => !rootOnly).map(definition => prepare(definition, 'namespace', options, seed)),
  ]
}

export function randomSeed(): number {
  return Math.floor(Math.random() * 0x1_0000_0000)
}

const TICK = 100
/** Milliseconds that a case may take. Only one that hangs does: a store may be far away, and work for others besides. */
const LIMIT = 60_000
/** Milliseconds that a case may take to clean up. */
const DISPOSAL = 5000

/** Makes a case of a definition. */
export function prepare(
  definition: CaseDefinition,
  scope: Scope,
  options: ConformanceOptions,
  seed: number,
  limit: number = LIMIT,
): PreparedCase {
  const { rule } = definition
  const title = `${rule} ${definition.title}${scope === 'namespace' ? ', in a namespace' : ''}`
  const judge = async (): Promise<'passed' | 'not supported'> => {
    const fixture = new Fixture(options, scope, new Random(deriveSeed(seed, title)))
    try {
      await within(limit, definition.run(fixture))
      return fixture.notSupported ? 'not supported' : 'passed'
    } catch (error) {
      throw explain(error, seed)
    } finally {
      await within(DISPOSAL, fixture.dispose()).catch(() => {})
    }
  }
  const run = async (): Promise<void> => {
    await judge()
  }
  return { rule, title, timeout: limit + 2 * DISPOSAL, run, judge }
}

/** In ticks of a timer, not by the clock: a case is not to fail because another one, or the machine, held up the process. */
async function within<T>(timeout: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let ticks = Math.ceil(timeout / TICK)
  const late = new Promise<never>((_, reject) => {
    const tick = (): void => {
      if (ticks-- > 0) timer = setTimeout(tick, TICK)
      else reject(new Error(`did not settle within ${timeout} ms`))
    }
    tick()
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The seed goes into the message: runners show nothing else. */
function explain(error: unknown, seed: number): Error {
  const reason = types.isNativeError(error) && !isCacheError(error) ? error.message : `unexpected ${describe(error)}`
  return new Error(`${reason}${reason.includes('\n') ? '\n' : ' '}(seed ${seed})`, { cause: error })
}
