import { setTimeout as sleep } from 'node:timers/promises'
import { addToCounter, type Deadline, type NewEntry, type Progress, type StoredEntry } from '@cachekit/core'

/** The longest pause in milliseconds before increments are tried again. */
const PAUSE = 20

interface Increment {
  readonly by: number
  /** Of the counter, if this increment makes it. */
  readonly deadline: Deadline
  /** Throws once nobody waits for this increment any more. */
  readonly progress: Progress
  resolve(sum: number): void
  reject(error: unknown): void
}

/** What increments are made of. */
interface Store {
  /** The record under `id`, unless it has expired, and whatever is stored there. */
  read(id: string): Promise<{ live: StoredEntry | undefined; stored: StoredEntry | undefined }>
  swap(id: string, expected: StoredEntry | undefined, next: NewEntry): Promise<boolean>
}

/**
 * The increments of this process. Those that arrive while one of the same counter is under way are then applied together,
 * by one read and one write: a document takes few writes a second, and writers that meet make each other start again.
 */
export class Increments {
  readonly #store: Store
  readonly #timeout: number
  /** Of each counter that is being incremented: what came after that. */
  readonly #waiting = new Map<string, Increment[]>()

  /** @param timeout Milliseconds after which increments that wait no longer count on those before them. */
  constructor(store: Store, timeout: number) {
    this.#store = store
    this.#timeout = timeout
  }

  add(id: string, by: number, deadline: Deadline, progress: Progress): Promise<number> {
    return new Promise((resolve, reject) => {
      const increment = { by, deadline, progress, resolve, reject }
      const waiting = this.#waiting.get(id)
      if (waiting === undefined) this.#run(id, [increment])
      else waiting.push(increment)
    })
  }

  async #run(id: string, first: Increment[]): Promise<void> {
    const waiting: Increment[] = []
    this.#waiting.set(id, waiting)
    for (let increments = first; increments.length > 0; increments = waiting.splice(0)) {
      const applied = this.#apply(id, increments).catch(error => {
        for (const { reject } of increments) reject(error)
      })
      await Promise.race([applied, sleep(this.#timeout, undefined, { ref: false })])
    }
    this.#waiting.delete(id)
  }

  async #apply(id: string, increments: readonly Increment[]): Promise<void> {
    for (;;) {
      const { live, stored } = await this.#store.read(id)
      let next: NewEntry | undefined = live
      const answers: (() => void)[] = []
      for (const { by, deadline, progress, resolve, reject } of increments) {
        try {
          progress()
          const { sum, bytes } = addToCounter(next?.value, by)
          next = next === undefined ? { value: bytes, ...deadline } : { ...next, value: bytes }
          answers.push(() => resolve(sum))
        } catch (error) {
          answers.push(() => reject(error))
        }
      }
      if (next === live || next === undefined || (await this.#store.swap(id, stored, next))) {
        for (const answer of answers) answer()
        return
      }
      // Another process was first. Whoever tries again at once only keeps the others from getting through.
      await sleep(Math.random() * PAUSE)
    }
  }
}
