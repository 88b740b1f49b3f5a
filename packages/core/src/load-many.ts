import type { BulkLoader, Loader } from './cache.ts'
import { invalidArgument, typeOf } from './errors.ts'
import { NOTHING } from './protocol.ts'

/** A key whose loader was called, and waits for the loader of several. */
interface Item {
  readonly signal: AbortSignal
  resolve(value: unknown): void
  reject(error: unknown): void
}

/**
 * Has `getOrSet` get each key, and makes of all its calls of a loader one call of `loader`: once it is known of every key
 * whether it is to be loaded here, by somebody else, or not at all.
 */
export async function loadMany(
  keys: readonly string[],
  loader: BulkLoader<unknown>,
  getOrSet: (key: string, index: number, loader: Loader<unknown>, onWait: () => void) => Promise<unknown>,
): Promise<Map<string, unknown>> {
  const undecided = new Set(keys)
  let items = new Map<string, Item>()
  const decide = (key: string): void => {
    undecided.delete(key)
    if (undecided.size > 0 || items.size === 0) return
    const together = items
    items = new Map()
    void loadTogether(together, loader)
  }
  const get = async (key: string, index: number): Promise<[string, unknown]> => {
    const one: Loader<unknown> = ({ signal }) =>
      new Promise((resolve, reject) => {
        items.set(key, { signal, resolve, reject })
        decide(key)
      })
    try {
      return [key, await getOrSet(key, index, one, () => decide(key))]
    } finally {
      decide(key)
    }
  }
  return new Map(await Promise.all(keys.map(get)))
}

async function loadTogether(items: ReadonlyMap<string, Item>, loader: BulkLoader<unknown>): Promise<void> {
  const controller = new AbortController()
  let wanted = items.size
  for (const { signal } of items.values()) {
    signal.addEventListener('abort', () => --wanted === 0 && controller.abort(signal.reason), { once: true })
  }
  try {
    const values = await loader([...items.keys()], { signal: controller.signal })
    if (typeof values?.get !== 'function' || typeof values.has !== 'function') {
      throw invalidArgument(`The loader of getOrSetMany must give a Map, not ${typeOf(values)}.`)
    }
    for (const [key, { resolve }] of items) resolve(values.has(key) ? values.get(key) : NOTHING)
  } catch (error) {
    for (const { reject } of items.values()) reject(error)
  }
}
