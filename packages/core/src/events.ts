import { type Channel, channel } from 'node:diagnostics_channel'
import { assertArgument, typeOf } from './errors.ts'

interface KeyEvent {
  readonly key: string
  /** The namespaces from the cache's own down, joined by `:`; empty for the cache's own. */
  readonly namespace: string
}

/** What happens in a cache. */
export interface CacheEvents {
  /** A stored value was returned. */
  hit: KeyEvent
  /** A value past its ttl was returned, by `staleWhileRevalidate` or `staleIfError`. */
  stale: KeyEvent
  /** There was no value to return. */
  miss: KeyEvent
  /** A loader has settled: after how many milliseconds, and with what `error` if it failed. */
  load: KeyEvent & { readonly milliseconds: number; readonly error?: unknown }
  /** A value was stored, by `set`, `add`, `increment` or a load. */
  set: KeyEvent
  delete: KeyEvent
  deleteByTag: { readonly tags: readonly string[]; readonly namespace: string }
  clear: { readonly namespace: string }
  /** The store failed, or an answer of it took too long. */
  failure: { readonly error: unknown; readonly namespace: string }
}

/** Counts since the cache was made, of the cache and all its namespaces. */
export interface CacheStats {
  readonly hits: number
  readonly stale: number
  readonly misses: number
  /** Calls of loaders, also those that failed. */
  readonly loads: number
  readonly loadFailures: number
  /** Failures of the store. */
  readonly failures: number
}

type Listener = (event: never) => void
type Name = keyof CacheEvents

const names = ['hit', 'stale', 'miss', 'load', 'set', 'delete', 'deleteByTag', 'clear', 'failure'] as const
const channels = new Map<Name, Channel>(names.map(name => [name, channel(`cachekit:${name}`)]))
const hits = channels.get('hit') as Channel

/** Tells listeners, and the channels `cachekit:hit` and so on of `node:diagnostics_channel`, what happens. */
export class Events {
  readonly stats = { hits: 0, stale: 0, misses: 0, loads: 0, loadFailures: 0, failures: 0 }
  readonly #listeners = new Map<string, Set<Listener>>()
  #heard = false

  /** Calls `listener` for events in `namespace` and those made from it. */
  on(name: Name, namespace: string, listener: Listener): () => void {
    assertArgument(channels.has(name), `An event must be one of ${names.join(', ')}`, name)
    assertArgument(typeof listener === 'function', 'listener must be a function', listener, typeOf)
    const set = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, set)
    const heard = (event: { readonly namespace: string }): void => {
      if (`${event.namespace}:`.startsWith(`${namespace}:`) || namespace === '') listener(event as never)
    }
    set.add(heard as Listener)
    this.#heard = true
    return () => set.delete(heard as Listener)
  }

  /** The same as `emit('hit', ...)`, for where each nanosecond counts. */
  hit(namespace: string, key: string): void {
    this.stats.hits++
    if (this.#heard || hits.hasSubscribers) this.emit('hit', { namespace, key })
  }

  emit<N extends Name>(name: N, event: CacheEvents[N]): void {
    if (name === 'stale') this.stats.stale++
    if (name === 'miss') this.stats.misses++
    if (name === 'failure') this.stats.failures++
    const diagnostics = channels.get(name) as Channel
    if (diagnostics.hasSubscribers) diagnostics.publish(event)
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(event as never)
      } catch (error) {
        process.emitWarning(`A listener for the cache's event ${name} threw: ${error}`)
      }
    }
  }
}
