// Whether a history of concurrent calls on one key can be put into an order in which each call takes effect at one
// instant between its start and its end: J. M. Wing and C. Gong, "Testing and Verifying Concurrent Objects", 1993, with
// the memory of G. Lowe, "Testing for linearizability", 2017.

/** What a key holds: a value, or nothing. */
export type Register = string | undefined

/** One call on one key, as its caller saw it. */
export interface Operation {
  /** For messages. */
  readonly text: string
  readonly start: number
  /** `Infinity` where it is not known whether and when the call took effect. */
  readonly end: number
  /** What the call answers to a register, and what it leaves there. */
  apply(register: Register): { readonly answer: unknown; readonly next: Register }
  /** What it answered. Not looked at where `end` is `Infinity`. */
  readonly answer: unknown
}

/** More states than this are not searched: such a history counts as in order. */
const MAX_STATES = 200_000

/**
 * Whether the operations have an order. `evictions`: how many times the store may have dropped the entry by itself.
 */
export function isLinearizable(operations: readonly Operation[], evictions = 0): boolean {
  const seen = new Set<string>()
  const sorted = [...operations].sort((a, b) => a.start - b.start)
  /** All before `low` have their place, and of the others those whose bits are in `placed`. */
  const search = (low: number, placed: bigint, register: Register, evictions: number): boolean => {
    const state = `${low} ${placed} ${evictions} ${register}`
    if (seen.size > MAX_STATES) return true
    if (seen.has(state)) return false
    seen.add(state)
    const candidates: number[] = []
    // The next one must have started before any other one ended.
    let earliestEnd = Number.POSITIVE_INFINITY
    for (let index = low; index < sorted.length; index++) {
      const { start, end } = sorted[index] as Operation
      if (start > earliestEnd) break
      if (placed & (1n << BigInt(index - low))) continue
      candidates.push(index)
      earliestEnd = Math.min(earliestEnd, end)
    }
    if (earliestEnd === Number.POSITIVE_INFINITY) return true // what is left may never take effect
    for (const index of candidates) {
      const operation = sorted[index] as Operation
      const { answer, next } = operation.apply(register)
      if (operation.end !== Number.POSITIVE_INFINITY && !Object.is(answer, operation.answer)) continue
      let [newLow, newPlaced] = [low, placed | (1n << BigInt(index - low))]
      for (; newPlaced & 1n; newPlaced >>= 1n) newLow++
      if (search(newLow, newPlaced, next, evictions)) return true
    }
    return evictions > 0 && register !== undefined && search(low, placed, undefined, evictions - 1)
  }
  return search(0, 0n, undefined, evictions)
}

/** The history up to the first end at which it has no order any more, for people to read. */
export function firstViolation(operations: readonly Operation[], evictions = 0): string {
  const ends = operations.map(({ end }) => end).sort((a, b) => a - b)
  const until = ends.find(end => !isLinearizable(upTo(operations, end), evictions)) ?? Number.POSITIVE_INFINITY
  const origin = Math.min(...operations.map(({ start }) => start))
  const at = (time: number): string => (time === Number.POSITIVE_INFINITY ? '…' : (time - origin).toFixed(2))
  return upTo(operations, until)
    .sort((a, b) => a.start - b.start)
    .slice(-14)
    .map(({ text, start, end }) => `${at(start)} to ${at(end)} ms: ${text}`)
    .join('\n')
}

/** What was known at that time: calls that had not ended may have taken effect or not. */
function upTo(operations: readonly Operation[], time: number): Operation[] {
  return operations
    .filter(({ start }) => start <= time)
    .map(operation =>
      operation.end <= time ? operation : { ...operation, apply: operation.apply, end: Number.POSITIVE_INFINITY },
    )
}
