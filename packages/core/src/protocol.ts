import type { AsyncLocalStorage } from 'node:async_hooks'
import type { Awaitable, Loader } from './cache.ts'
import { invalidArgument, isCacheError } from './errors.ts'
import type { Events } from './events.ts'
import { Load, type Loads, loaderTimeout, type Outcome } from './loads.ts'
import type { LocalTier } from './local-tier.ts'
import { newId } from './record.ts'
import type { Draft, Prepared, RecordStore, Stored } from './record-store.ts'
import type { StoreGuard } from './store-guard.ts'
import { idsOf, type Life, type Look, lengthOf, type TaggedRecords, type Tokens } from './tagged-records.ts'

// The invariant: let an invalidation (delete, set, deleteByTag, clear) run from s to r. No call that starts after r returns
// a value whose loader started before s.
//
// A key holds nothing, a lease or an entry, each with an id of its own. Who finds nothing puts a lease there, loads, and
// replaces the lease by the entry if it is still the same: an invalidation removes it, or the tokens that it was taken
// with. A stale entry stays readable while it is refreshed: its lease lies beside it, under `~l:key`, and it is the entry
// itself that must still be the same.

/** Whether processes agree on who loads a key; times in milliseconds. */
export interface LeaseSettings {
  /** `process`: nothing is stored while loading, and only this process's invalidations are covered. */
  readonly scope: 'store' | 'process'
  /** How long a lease lives. It is renewed each third of that while its loader runs. */
  readonly ttl: number
  /** How long to wait for another process that loads. */
  readonly wait: number
}

/** A loaded value, ready to be stored; without `prepared` it is not to be. */
export interface Loaded {
  readonly value: unknown
  readonly prepared?: Prepared | undefined
  readonly life: Life
}

/** A call that may load; times in milliseconds. */
export interface Call {
  readonly key: string
  /** The key as the store has it. */
  readonly stored: string
  readonly loader: Loader<unknown>
  /** What was read under the key after the call began, where something was. */
  readonly first?: Look | undefined
  readonly tags: readonly string[]
  /** How long the value will live, as far as that is known before it is loaded. */
  readonly life: Life
  readonly refresh: boolean
  readonly signal: AbortSignal | undefined
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  readonly softTimeout: number | undefined
  readonly hardTimeout: number | undefined
  /** The value of an entry; `undefined` if it has none that may be served. */
  open(record: Stored): Awaitable<{ readonly value: unknown } | undefined>
  prepare(value: unknown): Promise<Loaded>
  /** Called when somebody else loads, so that the loader does not run for now. */
  onWait?: (() => void) | undefined
}

/** What a load stands on. */
interface Grant {
  /** The record that the loaded value replaces. */
  readonly basis: Stored | undefined
  readonly tokens: Tokens
  readonly lease?: { readonly key: string; readonly draft: Draft; readonly record: Stored } | undefined
}

/** What the protocol works with; one for each namespace. */
export interface ProtocolParts {
  readonly records: RecordStore
  readonly tagged: TaggedRecords
  readonly local: LocalTier | undefined
  readonly loads: Loads
  readonly guard: StoreGuard
  readonly lease: LeaseSettings
  readonly events: Events
  readonly namespace: string
  /** Names the namespace among the loads under way. */
  readonly path: string
  /** Whether `getOrSet` goes on without the store after this error. */
  readonly goesOn: (error: unknown) => boolean
}

/** What a loader of several keys gives for one that has no value: it is not stored. */
export const NOTHING: unique symbol = Symbol('nothing')

/** So many times somebody else is first; then the value is loaded and not stored. */
const MOST_LOST = 3
/** The first pause between two looks at a lease. Each is half as long again, up to a twentieth of the lease's life. */
const FIRST_PAUSE = 5

/** Reads, loads and stores in one namespace, such that the invariant holds. */
export class Protocol {
  readonly #parts: ProtocolParts

  constructor(parts: ProtocolParts) {
    this.#parts = parts
  }

  async getOrSet(call: Call): Promise<unknown> {
    const { loads, path, lease, events, namespace, goesOn, tagged, local } = this.#parts
    const { key, signal, refresh } = call
    const began = loads.tick()
    let glances = !refresh
    for (let { first } = call; ; first = undefined) {
      let look = first
      try {
        look ??= await this.#look(call, glances)
      } catch (error) {
        if (!goesOn(error)) throw error
      }
      const isStale = look?.state === 'stale' && tagged.staleFor(look.record as Stored) < call.staleWhileRevalidate
      if (look !== undefined && !refresh && (isStale || look.state === 'fresh')) {
        const found = await call.open(look.record as Stored)
        if (found === undefined) {
          // Only the record in the store itself can be replaced.
          if (glances && local !== undefined) {
            local.drop(call.stored)
            glances = false
            continue
          }
          look = { ...look, state: 'dead' }
        } else if (look.state === 'fresh') {
          events.hit(namespace, key)
          return found.value
        } else {
          if (loads.find(path, call.stored) === undefined) this.#begin(call, look, true)
          events.emit('stale', { key, namespace })
          return found.value
        }
      }
      let load = loads.find(path, call.stored)
      // This read may not have seen yet what the load has put there.
      if (look !== undefined && load?.started && look.born < load.startedAt && !isBasis(load, look)) continue
      const based = lease.scope === 'process' || (look !== undefined && isBasis(load, look))
      // Without an answer of the store the origin is spared: one load after the other, until one began after this call.
      const joins = !load?.started || ((based || look === undefined) && !refresh)
      const unstored = loads.findUnstored(path, call.stored, began)
      if (unstored !== undefined) {
        load = unstored
      } else if (load !== undefined && joins && (load.refresh || !refresh)) {
        assertNotLoading(load)
        call.onWait?.()
      } else {
        load = this.#begin(call, look, false)
      }
      try {
        const outcome = await load.wait(signal, call.softTimeout)
        // A value that was found in the store by a read that began before this call says nothing about now.
        if (based || outcome.born > began) return outcome.value === NOTHING ? undefined : outcome.value
      } catch (error) {
        // Only what this call itself has read: that which the load refreshes may have been invalidated before this call.
        const stale = look?.state === 'stale' ? (look.record as Stored) : undefined
        const mayServe = stale !== undefined && !signal?.aborted && tagged.staleFor(stale) < call.staleIfError
        const found = mayServe ? await call.open(stale) : undefined
        if (found === undefined) throw error
        events.emit('stale', { key, namespace })
        return found.value
      }
    }
  }

  /** `glances`: what the local tier has will do. */
  async #look({ stored, tags, signal }: Call, glances = false): Promise<Look> {
    const { guard, tagged } = this.#parts
    const read = () => tagged[glances ? 'glance' : 'look']([stored], tags)
    const [look] = await guard.askPatiently(read, signal)
    return look as Look
  }

  /** Begins a load and makes it the one under way. `background`: nobody waits, so it ends where another process loads. */
  #begin(call: Call, look: Look | undefined, background: boolean): Load {
    const { loads, path, events, namespace, guard } = this.#parts
    const { key } = call
    const load = new Load(call.tags, call.refresh)
    if (!background) events.emit('miss', { key, namespace })
    loads.begin(path, call.stored, load)
    const end = async (): Promise<void> => {
      if (load.unstored) {
        load.attached = false
        // Whoever called before it began, and still waits for the store, calls no loader again.
        await new Promise(resolve => setTimeout(resolve, guard.patience).unref())
      }
      await load.storing
      loads.end(path, call.stored, load)
    }
    load.run(() => this.#run({ ...call, signal: undefined }, load, look, background)).then(end, end)
    // Nobody who comes to wait for it and leaves again is the last one then.
    if (background) load.wait(undefined, undefined).catch(() => {})
    return load
  }

  async #run(call: Call, load: Load, look: Look | undefined, background: boolean): Promise<Outcome> {
    let grant: Grant | undefined
    try {
      const acquired = look && (await this.#acquire(call, load, look, background))
      if (acquired !== undefined && 'born' in acquired) return acquired
      grant = acquired
    } catch (error) {
      if (!this.#parts.goesOn(error)) throw error
    }
    load.unstored = grant === undefined
    return this.#load(call, load, grant)
  }

  /** Waits until this process may load, or another one has. `undefined`: the value is to be loaded, and not stored. */
  async #acquire(call: Call, load: Load, first: Look, background: boolean): Promise<Grant | Outcome | undefined> {
    const { lease, records, guard, tagged } = this.#parts
    const { stored, refresh } = call
    const giveUpAt = performance.now() + lease.wait
    let pause = FIRST_PAUSE
    let lost = 0
    // Only one load at a time gets here, so in the scope of a process this look sees what those before it have stored.
    let look = lease.scope === 'process' && !refresh ? await this.#look(call) : first
    while (lost < MOST_LOST && performance.now() < giveUpAt && load.wanted) {
      const { state, record, born } = look
      if (state === 'fresh' && !refresh) {
        const open = (): Awaitable<{ readonly value: unknown } | undefined> => call.open(record as Stored)
        const found = await open()
        if (found !== undefined) return { value: found.value, copy: async () => (await open())?.value, born }
      }
      const tokens = await guard.askPatiently(() => tagged.tokens(call.tags, lengthOf(call.life), look.tokens))
      if (lease.scope === 'process') return { basis: record, tokens }
      // What may still be served stays where it is.
      const stays = state === 'stale' || (state === 'fresh' && refresh && record?.kind === 'entry')
      // An explicit refresh waits for nobody: what others load may be older than what it is to show.
      if (stays && refresh) return { basis: record, tokens }
      if (stays || state !== 'leased' || refresh) {
        const key = stays ? keyOfRefreshLease(stored) : stored
        const draft: Draft = { kind: 'lease', id: newId(), tags: idsOf(call.tags, tokens) }
        const mine = await guard.askPatiently(() => records.swap(key, stays ? undefined : record, draft, lease.ttl))
        if (mine) return { basis: stays ? record : mine, tokens, lease: { key, draft, record: mine } }
        if (!stays) lost++
      }
      // Older than every call: should any have come to wait, they look for themselves.
      if (background) return { value: undefined, copy: () => undefined, born: 0 }
      if (stays || state === 'leased') {
        call.onWait?.()
        const milliseconds = pause * (0.5 + Math.random())
        await new Promise(resolve => setTimeout(resolve, milliseconds))
        pause = Math.min(pause * 1.5, lease.ttl / 20)
      }
      look = await this.#look(call)
    }
    return undefined
  }

  async #load(call: Call, load: Load, grant: Grant | undefined): Promise<Outcome> {
    const { loads, events, guard, goesOn, namespace } = this.#parts
    const { key } = call
    const born = loads.tick()
    load.basis = grant?.basis
    load.startedAt = born
    load.signal.addEventListener('abort', () => this.#release(grant), { once: true })
    const start = performance.now()
    const renewing = this.#renew(load, grant)
    let loaded: Loaded
    events.stats.loads++
    try {
      loaded = await call.prepare(await callLoader(call, load))
      events.emit('load', { key, namespace, milliseconds: performance.now() - start })
    } catch (error) {
      events.stats.loadFailures++
      events.emit('load', { key, namespace, milliseconds: performance.now() - start, error })
      load.attached = false
      load.unstored = true
      await this.#release(grant)
      throw error
    } finally {
      clearInterval(renewing)
    }
    const { value, prepared, life } = loaded
    await load.storing
    if (grant === undefined || prepared === undefined || !load.attached) {
      await this.#release(grant)
    } else {
      try {
        const storing = this.#store(call, grant, prepared, life)
        load.storing = storing.catch(() => {})
        await guard.askPatiently(() => storing)
      } catch (error) {
        // Not waited for: a store that does not answer would take its time once more.
        void this.#release(grant)
        if (!goesOn(error) && !isCacheError(error, 'CACHE_CLOSED')) throw error
      }
    }
    return { value, copy: prepared === undefined ? () => value : () => prepared.copy(), born }
  }

  async #store(call: Call, grant: Grant, prepared: Prepared, life: Life): Promise<void> {
    const { records, tagged, events, namespace, local } = this.#parts
    const { basis, tokens, lease } = grant
    // To prolong them. Should one have become another one, the entry is dead, as it keeps those from before the load.
    await tagged.tokens(call.tags, lengthOf(life), tokens)
    const [draft, ttl] = tagged.entry(prepared, call.tags, tokens, life)
    const write = async (): Promise<Stored | undefined> => records.swap(call.stored, basis, draft, ttl)
    // Who has a local copy of the entry that is replaced does not find out by itself.
    const replaces = local !== undefined && basis?.kind === 'entry'
    const written = await (replaces ? local.invalidate({ keys: [call.stored] }, write) : write())
    if (written) events.emit('set', { key: call.key, namespace })
    if (lease && lease.key !== call.stored) await records.remove(lease.key, lease.record)
  }

  /** Keeps the lease while its loader runs, so that it can be short: that is how long others wait for a killed process. */
  #renew(load: Load, grant: Grant | undefined): NodeJS.Timeout | undefined {
    const lease = grant?.lease
    if (lease === undefined) return undefined
    const { records, guard, lease: settings } = this.#parts
    const timer = setInterval(async () => {
      try {
        if (load.attached && (await guard.ask(() => records.swap(lease.key, lease.record, lease.draft, settings.ttl))))
          return
        clearInterval(timer)
      } catch {
        // The next turn tries again.
      }
    }, settings.ttl / 3)
    return timer.unref()
  }

  async #release(grant: Grant | undefined): Promise<void> {
    const lease = grant?.lease
    if (lease === undefined) return
    try {
      await this.#parts.guard.askPatiently(() => this.#parts.records.remove(lease.key, lease.record))
    } catch {
      // Then it ends by itself.
    }
  }
}

/** Shorter than the longest key, however long this one is. */
const keyOfRefreshLease = (stored: string): string =>
  `~l:${stored.length < 2000 ? stored : process.getBuiltinModule('node:crypto').hash('sha256', stored, 'base64url')}`

/** Whether what was read proves that nothing was invalidated since the load began. */
function isBasis(load: Load | undefined, { record, state }: Look): boolean {
  return record !== undefined && record.id !== '' && record.id === load?.basis?.id && state !== 'dead'
}

/** The loads whose loaders the code that runs is part of. */
interface Caller {
  readonly load: Load
  readonly caller: Caller | undefined
}
let callers: AsyncLocalStorage<Caller> | undefined

/** Throws where a loader would wait for itself. */
function assertNotLoading(load: Load): void {
  for (let caller = callers?.getStore(); caller !== undefined; caller = caller.caller) {
    if (caller.load === load) throw invalidArgument('A loader calls the cache for the key that it is loading.')
  }
}

async function callLoader({ key, loader, hardTimeout }: Call, load: Load): Promise<unknown> {
  if (callers === undefined) {
    const hooks = process.getBuiltinModule('node:async_hooks')
    callers = new hooks.AsyncLocalStorage()
  }
  const value = callers.run({ load, caller: callers.getStore() }, () => loader({ key, signal: load.signal }))
  if (hardTimeout === undefined) return value
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = loaderTimeout(hardTimeout)
      reject(error)
      load.abort(error)
    }, hardTimeout).unref()
  })
  try {
    return await Promise.race([value, timeout])
  } finally {
    clearTimeout(timer)
  }
}
