import type { ServiceName } from '@cachekit/testing'

export type Size = 'small' | '1 kB'

/** What is timed. `hit` is a library's read-through call, with a loader, on a key that is cached. */
export type Operation = 'hit' | 'get' | 'set' | 'getMany'

/** A library, opened. An operation that it does not have is missing in the table. */
export interface Subject {
  /** Fills the cache before anything is timed; timed itself where the suite says so. */
  set(key: string, value: unknown): unknown
  hit?(key: string): unknown
  get?(key: string): unknown
  getMany?(keys: readonly string[]): unknown
  close?(): unknown
}

/** One row of the table. It runs in a process of its own, so it imports its library in `open`. */
export interface Contestant {
  readonly name: string
  /** How it was configured, for the reader of the table. */
  readonly options: string
  /** The packages whose versions the results name. */
  readonly packages: readonly string[]
  /** Its calls answer at once: they are not awaited. */
  readonly synchronous?: boolean
  /** @param url Of the server, where the suite has one. */
  open(url: string): Promise<Subject>
}

/** How fast `contestant` is to be: at least `atLeast` times as fast as `than`, in every case. */
export interface Budget {
  readonly contestant: string
  readonly than: string
  readonly atLeast: number
}

/** A comparison on one store. */
export interface Suite {
  readonly name: string
  readonly title: string
  /** The server it needs. */
  readonly service?: ServiceName
  /** The contestant that the others are measured against. */
  readonly baseline: string
  readonly operations: readonly Operation[]
  /**
   * What is measured: the time that passes, waiting for the server included, or the time that the process computes,
   * which other programs on the machine lengthen less.
   */
  readonly clock: 'wall' | 'processor'
  /** Whose object an answer must be: the very one that was set, or one of its own at each call. Default: not checked. */
  readonly answers?: 'shared' | 'own'
  /** How many keys are cached. Default: 1,000. */
  readonly keys?: number
  /** How many rounds are timed. Default: 31. */
  readonly rounds?: number
  /** What is cached. Default: the objects of `workload.ts`. */
  readonly value?: (size: Size, index: number) => unknown
  readonly contestants: readonly Contestant[]
  readonly budgets: readonly Budget[]
}

/** One column of the table. */
export interface Case {
  readonly operation: Operation
  readonly size: Size
  /** Calls under way at a time. */
  readonly concurrency: number
}

export function casesOf(suite: Suite): Case[] {
  return suite.operations.flatMap(operation =>
    (['small', '1 kB'] as const).flatMap(size =>
      [1, 64].map((concurrency): Case => ({ operation, size, concurrency })),
    ),
  )
}

export function caseTitle({ operation, size, concurrency }: Case): string {
  return `${operation}, ${size}, ${concurrency} at a time`
}
