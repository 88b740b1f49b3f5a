import type { Loader } from './cache.ts'

/** A loaded value, and how to copy it for a further caller. */
export interface Loaded {
  readonly value: unknown
  copy(): unknown
}

/** A load under way: one call of a loader, for any number of callers. */
export class Load {
  /** Whether the value may still be stored, and further callers may join: no invalidation came since the load began. */
  attached = true
  /** The write of the loaded value, or of a load that this one replaced. An invalidation waits for it. Never rejects. */
  storing: Promise<unknown> | undefined
  readonly #controller = new AbortController()
  #result: Promise<Loaded> | undefined
  #callers = 0

  /** Calls the loader; `finish` makes of its value what callers get. */
  run(key: string, loader: Loader<unknown>, finish: (value: unknown) => Promise<Loaded>): Promise<Loaded> {
    const load = async (): Promise<Loaded> => finish(await loader({ key, signal: this.#controller.signal }))
    this.#result = load()
    return this.#result
  }

  /** Waits for the value. `signal` ends this wait only; the loader's signal fires once nobody waits any more. */
  async wait(signal: AbortSignal | undefined): Promise<unknown> {
    const first = this.#callers === 0
    this.#callers++
    const { value, copy } = await (signal === undefined ? (this.#result as Promise<Loaded>) : this.#until(signal))
    return first ? value : copy()
  }

  #until(signal: AbortSignal): Promise<Loaded> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        reject(signal.reason)
        this.#callers--
        if (this.#callers > 0) return
        this.attached = false
        this.#controller.abort(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#result?.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
    })
  }
}

/** The reads of one key that are under way, by callers that would load it. */
export interface Reading {
  callers: number
  /** A load ended meanwhile, so that a miss may already be out of date, and is to be read again. */
  overtaken: boolean
}

/**
 * The loads under way in one cache and its namespaces. An invalidation detaches the loads it concerns: they answer those
 * who wait, but are not stored, and nobody joins them any more.
 */
export class Loads {
  readonly #byPath = new Map<string, Map<string, Load>>()
  readonly #readers = new Map<string, Reading>()

  /** The load of `key` that a new caller may join. */
  find(path: string, key: string): Load | undefined {
    const load = this.#byPath.get(path)?.get(key)
    return load?.attached ? load : undefined
  }

  /**
   * A caller begins to read `key`, until `endReading`. By then it has looked at `overtaken`, and it looks for a load or
   * begins one without a further `await`: else a load could end unseen in between.
   */
  beginReading(path: string, key: string): Reading {
    const id = path + key
    const reading = this.#readers.get(id) ?? { callers: 0, overtaken: false }
    this.#readers.set(id, reading)
    reading.callers++
    return reading
  }

  endReading(path: string, key: string, reading: Reading): void {
    const id = path + key
    reading.callers--
    if (reading.callers === 0 && this.#readers.get(id) === reading) this.#readers.delete(id)
  }

  /** Makes `load` the one under way for `key`, until `end`. */
  begin(path: string, key: string, load: Load): void {
    let loads = this.#byPath.get(path)
    if (loads === undefined) {
      loads = new Map()
      this.#byPath.set(path, loads)
    }
    const replaced = loads.get(key)
    if (replaced !== undefined) {
      replaced.attached = false
      load.storing = replaced.storing
    }
    loads.set(key, load)
  }

  end(path: string, key: string, load: Load): void {
    const id = path + key
    const reading = this.#readers.get(id)
    if (reading !== undefined) {
      reading.overtaken = true
      this.#readers.delete(id)
    }
    const loads = this.#byPath.get(path)
    if (loads?.get(key) !== load) return
    loads.delete(key)
    if (loads.size === 0) this.#byPath.delete(path)
  }

  /** Detaches the loads of these keys, and waits for a value of theirs that is just being stored. */
  async invalidate(path: string, keys: Iterable<string>): Promise<void> {
    const loads = this.#byPath.get(path)
    if (loads !== undefined) await detach(Array.from(keys, key => loads.get(key)))
  }

  /** As `invalidate`, for all loads of this namespace and of those made from it. */
  async invalidateAll(path: string): Promise<void> {
    const concerned = [...this.#byPath].filter(([other]) => other.startsWith(path))
    await detach(concerned.flatMap(([, loads]) => [...loads.values()]))
  }
}

async function detach(loads: readonly (Load | undefined)[]): Promise<void> {
  for (const load of loads) if (load !== undefined) load.attached = false
  await Promise.all(loads.map(load => load?.storing))
}
