import { CacheError } from './errors.ts'
import type { Target } from './local-tier.ts'
import type { Stored } from './record-store.ts'

/** What a load came to. */
export interface Outcome {
  readonly value: unknown
  /** The value for a further caller. */
  copy(): unknown
  /** When the loader began or, of a value that was found in the store, the read of it; by the clock of `Loads`. */
  readonly born: number
}

/** A load under way: at most one call of a loader, for any number of callers. */
export class Load {
  /** Whether the value may still be stored, and further callers may join: no invalidation came since the load began. */
  attached = true
  /** Whether what it comes to is stored nowhere, so that nobody finds it there. */
  unstored = false
  /** When the loader was called, by the clock of `Loads`. Until then the load may be waiting for another process. */
  startedAt: number = Number.POSITIVE_INFINITY
  /** The record that its value replaces: a caller who reads this very record knows that nothing was invalidated. */
  basis: Stored | undefined
  /** Whether it loads whatever is stored. */
  readonly refresh: boolean
  readonly tags: readonly string[]
  /** The write of the loaded value, or of a load that this one replaced. An invalidation waits for it. Never rejects. */
  storing: Promise<unknown> | undefined
  readonly #controller = new AbortController()
  #result: Promise<Outcome> | undefined
  #callers = 0

  constructor(tags: readonly string[], refresh: boolean) {
    this.tags = tags
    this.refresh = refresh
  }

  get started(): boolean {
    return this.startedAt < Number.POSITIVE_INFINITY
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Not so once every caller has left. */
  get wanted(): boolean {
    return !this.signal.aborted
  }

  run(load: () => Promise<Outcome>): Promise<Outcome> {
    this.#result = load()
    return this.#result
  }

  /** Nobody joins any more, nothing is stored, and the loader is told so. */
  abort(reason: unknown): void {
    this.attached = false
    this.#controller.abort(reason)
  }

  /**
   * Waits for the outcome. `signal` and `patience` (milliseconds) end this wait only; the load itself is aborted once
   * every caller has left by a signal.
   */
  async wait(
    signal: AbortSignal | undefined,
    patience: number | undefined,
  ): Promise<{ readonly value: unknown; readonly born: number }> {
    const first = this.#callers === 0
    this.#callers++
    const result = this.#result as Promise<Outcome>
    const outcome = await (signal === undefined && patience === undefined
      ? result
      : new Promise<Outcome>((resolve, reject) => {
          const leave = (): void => {
            reject(signal?.reason)
            this.#callers--
            if (this.#callers === 0) this.abort(signal?.reason)
          }
          signal?.addEventListener('abort', leave, { once: true })
          const timer = patience === undefined ? undefined : setTimeout(() => reject(loaderTimeout(patience)), patience)
          const done = (): void => {
            clearTimeout(timer)
            signal?.removeEventListener('abort', leave)
          }
          result.then(resolve, reject).then(done)
        }))
    return first ? outcome : { value: await outcome.copy(), born: outcome.born }
  }
}

export function loaderTimeout(milliseconds: number | undefined): CacheError {
  return new CacheError({
    code: 'CACHE_LOADER_TIMEOUT',
    message: `The loader took longer than ${milliseconds} ms.`,
    retryable: true,
  })
}

/**
 * The loads under way in one cache and its namespaces. An invalidation detaches the loads it concerns: they answer those
 * who wait, but are not stored, and nobody joins them any more.
 */
export class Loads {
  readonly #loads = new Map<string, Load>()
  #clock = 0

  /** A moment that is later than all before it. */
  tick(): number {
    return ++this.#clock
  }

  /** The load under way that further callers may join. */
  find(path: string, key: string): Load | undefined {
    const load = this.#loads.get(idOf(path, key))
    return load?.attached ? load : undefined
  }

  /** One that began after `moment`, also if it has ended, and whose outcome is stored nowhere. */
  findUnstored(path: string, key: string, moment: number): Load | undefined {
    const load = this.#loads.get(idOf(path, key))
    return load?.unstored && load.startedAt > moment ? load : undefined
  }

  /** Makes `load` the one under way for `key`, until `end`. */
  begin(path: string, key: string, load: Load): void {
    const replaced = this.#loads.get(idOf(path, key))
    if (replaced !== undefined) {
      replaced.attached = false
      // An invalidation that comes now concerns it, too: the write may be on its way.
      load.storing = replaced.storing
    }
    this.#loads.set(idOf(path, key), load)
  }

  end(path: string, key: string, load: Load): void {
    if (this.#loads.get(idOf(path, key)) === load) this.#loads.delete(idOf(path, key))
  }

  /** Detaches the loads that an invalidation concerns, and waits for a value of theirs that is just being stored. */
  async invalidate(path: string, { keys, tags }: Target): Promise<void> {
    if (this.#loads.size === 0) return
    const isConcerned = ([id, load]: [string, Load]): boolean =>
      tags === undefined
        ? id.startsWith(path)
        : id.startsWith(idOf(path, '')) && load.tags.some(tag => tags.includes(tag))
    const concerned =
      keys?.map(key => this.#loads.get(idOf(path, key))) ?? [...this.#loads].filter(isConcerned).map(([, load]) => load)
    for (const load of concerned) if (load !== undefined) load.attached = false
    await Promise.all(concerned.map(load => load?.storing))
  }
}

/** Unlike any other, as paths have no control characters. */
const idOf = (path: string, key: string): string => `${path}\n${key}`
