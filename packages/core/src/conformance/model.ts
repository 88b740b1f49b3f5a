import type { CacheBackend } from '../backend.ts'
import { isCacheError } from '../errors.ts'
import { collectKeys } from './calls.ts'
import { describe } from './check.ts'
import type { Clock, Interval } from './clock.ts'
import type { Random } from './random.ts'
import { bytes } from './sample.ts'

/** One step of a random history, as data: it can be repeated, left out and printed. */
export type Command =
  | { readonly method: 'pass'; readonly milliseconds: number }
  | (Target &
      (
        | { readonly method: 'get' | 'getEntry' | 'has' | 'delete'; readonly key: string }
        | { readonly method: 'set' | 'add'; readonly key: string; readonly value: string; readonly ttl?: number }
        | {
            readonly method: 'compareAndSet'
            readonly key: string
            readonly expected: string
            readonly value: string
            readonly ttl?: number
          }
        | { readonly method: 'compareAndDelete'; readonly key: string; readonly expected: string }
        | { readonly method: 'increment'; readonly key: string; readonly by: number; readonly ttl?: number }
        | { readonly method: 'touch'; readonly key: string; readonly ttl?: number }
        | { readonly method: 'getMany' | 'deleteMany'; readonly keys: readonly string[] }
        | {
            readonly method: 'setMany'
            readonly entries: readonly (readonly [key: string, value: string])[]
            readonly ttl?: number
          }
        | { readonly method: 'clear' | 'keys' }
      ))

/** Who calls: one of the clients, in the outer namespace or in the one inside it. */
interface Target {
  readonly client: number
  readonly inner: boolean
}

type Call = Exclude<Command, { readonly method: 'pass' }>

const KEYS = [
  'a',
  'A',
  'a ',
  'b',
  '@b',
  'é',
  'k:1',
  '%',
  '*',
  '\0',
  'x'.repeat(300),
  'x'.repeat(301),
  '0',
  'n',
  'm',
  'inner',
]
const VALUES = ['', '0', '1', '41', '-7', 'a', 'A', 'null', '\0', '9007199254740991', 'y'.repeat(2000)]

export function randomCommand(random: Random, clients: number, frozen: boolean, iteration: boolean): Command {
  if (random.below(12) === 0) {
    return { method: 'pass', milliseconds: random.pick(frozen ? [1, 4, 999, 60_000, 3e9] : [1, 4, 12]) }
  }
  const target = { client: random.below(clients), inner: random.below(4) === 0 }
  // Few keys at a time, or else calls would seldom meet.
  const key = KEYS[Math.min(random.below(KEYS.length), random.below(KEYS.length))] as string
  const value = random.pick(VALUES)
  const ttl =
    random.below(2) === 0 ? random.pick(frozen ? [1, 5, 1000, 60_000, 2.6e9, 3e11] : [5, 20, 60_000, 3e9]) : undefined
  const options = ttl === undefined ? {} : { ttl }
  const keys = (): string[] => Array.from({ length: random.below(5) }, () => random.pick(KEYS))
  switch (random.below(iteration ? 18 : 17)) {
    case 0:
    case 1:
      return { ...target, method: 'get', key }
    case 2:
      return { ...target, method: 'getEntry', key }
    case 3:
      return { ...target, method: 'has', key }
    case 4:
    case 5:
    case 6:
      return { ...target, method: 'set', key, value, ...options }
    case 7:
      return { ...target, method: 'add', key, value, ...options }
    case 8:
      return { ...target, method: 'compareAndSet', key, expected: random.pick(VALUES), value, ...options }
    case 9:
      return { ...target, method: 'compareAndDelete', key, expected: random.pick(VALUES) }
    case 10:
    case 11:
      return {
        ...target,
        method: 'increment',
        key,
        by: random.pick([1, 1, -1, 0, 1000, Number.MAX_SAFE_INTEGER]),
        ...options,
      }
    case 12:
      return { ...target, method: 'touch', key, ...options }
    case 13:
      return { ...target, method: 'delete', key }
    case 14:
      return { ...target, method: 'getMany', keys: keys() }
    case 15:
      return {
        ...target,
        method: 'setMany',
        entries: keys().map(key => [key, random.pick(VALUES)] as const),
        ...options,
      }
    case 16:
      return random.below(3) === 0 ? { ...target, method: 'clear' } : { ...target, method: 'deleteMany', keys: keys() }
    default:
      return { ...target, method: 'keys' }
  }
}

/** What a key may hold. Its deadline is not known better than the call that set it was long. */
interface Entry {
  readonly value: string
  readonly deadline?: Interval | undefined
}

type State = Entry | undefined

/** What a call may answer to a key in one state, and the state that it leaves. */
interface Outcome {
  readonly matches: (answer: unknown) => boolean
  readonly expected: unknown
  readonly next: State
}

/** A failed call, as an answer. */
class Failure {
  readonly code: string

  constructor(code: string) {
    this.code = code
  }

  toString(): string {
    return this.code
  }
}

/** What two nested namespaces hold, as far as answers allow to tell. */
class Model {
  readonly #clock: Clock
  readonly #places: readonly Map<string, readonly State[]>[] = [new Map(), new Map()]

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes a call and its answer in; says what is wrong with it, if anything. */
  accept(call: Call, answer: unknown, during: Interval): string | undefined {
    const place = this.#places[call.inner ? 1 : 0] as Map<string, readonly State[]>
    if (answer instanceof Failure && !('key' in call)) return `expected no error, got ${answer}`
    switch (call.method) {
      case 'clear':
        for (const cleared of call.inner ? [place] : this.#places) cleared.clear()
        return
      case 'keys':
        return this.#acceptKeys(place, answer as ReadonlySet<string>, during)
      case 'getMany': {
        const values = answer as readonly unknown[]
        if (values.length !== call.keys.length) return `expected ${call.keys.length} answers, got ${values.length}`
        for (const [index, key] of call.keys.entries()) {
          const wrong = this.#acceptOne(place, { ...call, method: 'get', key }, values[index], during)
          if (wrong !== undefined) return `${describe(key)}: ${wrong}`
        }
        return
      }
      case 'setMany': {
        const { ttl } = call
        for (const [key, value] of call.entries) place.set(key, [{ value, deadline: deadline(during, ttl) }])
        return
      }
      case 'deleteMany':
        for (const key of call.keys) place.delete(key)
        return
      default:
        return this.#acceptOne(place, call, answer, during)
    }
  }

  #acceptOne(
    place: Map<string, readonly State[]>,
    call: Call & { key: string },
    answer: unknown,
    during: Interval,
  ): string | undefined {
    const outcomes = (place.get(call.key) ?? [undefined])
      .flatMap(state => this.#live(state, during))
      .map(state => outcome(call, state, during, this.#clock.slack))
    const left = new Map(
      outcomes.filter(({ matches }) => matches(answer)).map(({ next }) => [JSON.stringify(next), next]),
    )
    if (left.size === 0) {
      const expected = [...new Set(outcomes.map(({ expected }) => describe(expected)))].join(' or ')
      return `expected ${expected}, got ${describe(answer instanceof Failure ? String(answer) : answer)}`
    }
    place.set(call.key, [...left.values()])
    return
  }

  #acceptKeys(place: Map<string, readonly State[]>, found: ReadonlySet<string>, during: Interval): string | undefined {
    for (const key of found) if (!place.has(key)) return `${describe(key)} is there, and should not be`
    for (const [key, states] of place) {
      const live = states.flatMap(state => this.#live(state, during)).map(state => state !== undefined)
      if (!live.includes(found.has(key))) return `${describe(key)} is ${found.has(key) ? '' : 'not '}there`
    }
    return
  }

  /** The state as a call at that time sees it; both ways, if that is not certain. */
  #live(state: State, during: Interval): State[] {
    if (state?.deadline === undefined) return [state]
    const visible = this.#clock.isVisible(state.deadline, 0, during)
    return visible === 'either' ? [state, undefined] : [visible ? state : undefined]
  }
}

function deadline({ start, end }: Interval, ttl: number | undefined): Interval | undefined {
  return ttl === undefined ? undefined : { start: start + ttl, end: end + ttl }
}

/** The contract, for one key. */
function outcome(call: Call & { key: string }, state: State, during: Interval, slack: number): Outcome {
  const answers = (expected: unknown, next: State): Outcome => ({
    matches: answer => Object.is(answer, expected),
    expected,
    next,
  })
  const fresh = (value: string): Entry => ({ value, deadline: deadline(during, 'ttl' in call ? call.ttl : undefined) })
  switch (call.method) {
    case 'get':
      return answers(state?.value, state)
    case 'has':
      return answers(state !== undefined, state)
    case 'getEntry':
      return {
        matches: answer => matchesEntry(answer, state, during, slack),
        expected: state && { value: state.value, ttl: state.deadline && state.deadline.end - during.start },
        next: state,
      }
    case 'set':
      return answers(undefined, fresh(call.value))
    case 'add':
      return answers(state === undefined, state ?? fresh(call.value))
    case 'compareAndSet':
      return state?.value === call.expected ? answers(true, fresh(call.value)) : answers(false, state)
    case 'compareAndDelete':
      return state?.value === call.expected ? answers(true, undefined) : answers(false, state)
    case 'touch':
      return answers(state !== undefined, state && fresh(state.value))
    case 'delete':
      return answers(state !== undefined, undefined)
    case 'increment': {
      const sum = increment(state?.value ?? '0', call.by)
      if (typeof sum !== 'number')
        return { ...answers(sum, state), matches: answer => answer instanceof Failure && answer.code === sum }
      return answers(sum, state === undefined ? fresh(String(sum)) : { ...state, value: String(sum) })
    }
    default:
      throw new Error(`${call.method} is no call of one key`)
  }
}

function increment(value: string, by: number): number | string {
  if (!/^(?:0|-?[1-9]\d*)$/.test(value)) return 'CACHE_NOT_A_COUNTER'
  const sum = Number(value) + by
  return Number.isSafeInteger(sum) ? sum : 'CACHE_COUNTER_OVERFLOW'
}

function matchesEntry(answer: unknown, state: State, during: Interval, slack: number): boolean {
  if (answer === undefined || state === undefined) return answer === state
  const { value, ttl } = answer as { value: string; ttl: number | undefined }
  if (value !== state.value || (ttl === undefined) !== (state.deadline === undefined)) return false
  if (ttl === undefined || state.deadline === undefined) return true
  return ttl <= state.deadline.end - during.start + slack && ttl >= state.deadline.start - during.end - slack
}

/** Runs the commands on fresh namespaces; answers the first step that was wrong, and why. */
export async function runCommands(
  commands: readonly Command[],
  outers: readonly CacheBackend[],
  clock: Clock,
): Promise<{ step: number; reason: string } | undefined> {
  const views = outers.map(outer => [outer, outer.namespace('inner')] as const)
  const model = new Model(clock)
  for (const [step, command] of commands.entries()) {
    if (command.method === 'pass') {
      await clock.pass(command.milliseconds)
      continue
    }
    const view = views[command.client]?.[command.inner ? 1 : 0] as CacheBackend
    const { answer, during } = await clock.measure(() => perform(view, command))
    const reason = model.accept(command, answer, during)
    if (reason !== undefined) return { step, reason }
  }
  return
}

/** The answer, with texts for bytes, and failures for rejections. */
async function perform(view: CacheBackend, call: Call): Promise<unknown> {
  const options = 'ttl' in call ? { ttl: call.ttl } : undefined
  try {
    switch (call.method) {
      case 'get':
        return text(await view.get(call.key))
      case 'has':
        return await view.has(call.key)
      case 'getEntry': {
        const entry = await view.getEntry(call.key)
        return entry && { value: text(entry.value), ttl: entry.ttl }
      }
      case 'set':
        return await view.set(call.key, bytes(call.value), options)
      case 'add':
        return await view.add(call.key, bytes(call.value), options)
      case 'compareAndSet':
        return await view.compareAndSet(call.key, bytes(call.expected), bytes(call.value), options)
      case 'compareAndDelete':
        return await view.compareAndDelete(call.key, bytes(call.expected))
      case 'increment':
        return await view.increment(call.key, call.by, options)
      case 'touch':
        return await view.touch(call.key, { ttl: call.ttl })
      case 'delete':
        return await view.delete(call.key)
      case 'getMany':
        return (await view.getMany(call.keys)).map(text)
      case 'setMany':
        return await view.setMany(
          call.entries.map(([key, value]) => [key, bytes(value)]),
          options,
        )
      case 'deleteMany':
        return await view.deleteMany(call.keys)
      case 'clear':
        return await view.clear()
      case 'keys':
        return await collectKeys(view)
    }
  } catch (error) {
    return new Failure(isCacheError(error) ? error.code : describe(error))
  }
}

function text(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
}

/** Leaves out what the failure does not need: ever smaller runs of steps, as long as `fails` and the time last. */
export async function shrink(
  commands: readonly Command[],
  fails: (commands: readonly Command[]) => Promise<boolean>,
  milliseconds: number,
): Promise<readonly Command[]> {
  const end = performance.now() + milliseconds
  let smallest = commands
  for (let size = commands.length >> 1; size > 0; size >>= 1) {
    for (let start = 0; start < smallest.length && performance.now() < end; ) {
      const shorter = smallest.filter((_, index) => index < start || index >= start + size)
      if (await fails(shorter)) smallest = shorter
      else start += size
    }
  }
  return smallest
}

/** The commands as code that repeats them. */
export function printCommands(commands: readonly Command[]): string {
  const several = new Set(commands.map(command => ('client' in command ? command.client : 0))).size > 1
  return commands
    .map(command => {
      if (command.method === 'pass') return `await pass(${command.milliseconds}) // milliseconds`
      const name = `${command.inner ? 'inner' : 'backend'}${several ? command.client + 1 : ''}`
      return `await ${name}.${command.method}(${argumentsOf(command).join(', ')})`
    })
    .join('\n')
}

function argumentsOf(call: Call): string[] {
  const quoted = (value: string): string =>
    value.length > 60 ? `${JSON.stringify(value[0])}.repeat(${value.length})` : JSON.stringify(value)
  const value = (value: string): string => `Buffer.from(${quoted(value)})`
  const options = 'ttl' in call ? [`{ ttl: ${call.ttl} }`] : []
  switch (call.method) {
    case 'set':
    case 'add':
      return [quoted(call.key), value(call.value), ...options]
    case 'compareAndSet':
      return [quoted(call.key), value(call.expected), value(call.value), ...options]
    case 'compareAndDelete':
      return [quoted(call.key), value(call.expected)]
    case 'increment':
      return [quoted(call.key), String(call.by), ...options]
    case 'touch':
      return [quoted(call.key), `{ ttl: ${call.ttl} }`]
    case 'setMany':
      return [`[${call.entries.map(([key, item]) => `[${quoted(key)}, ${value(item)}]`).join(', ')}]`, ...options]
    case 'getMany':
    case 'deleteMany':
      return [`[${call.keys.map(quoted).join(', ')}]`]
    case 'clear':
    case 'keys':
      return []
    default:
      return [quoted(call.key)]
  }
}
