import type { Loads } from './loads.ts'
import type { LocalTier } from './local-tier.ts'
import { NO_TAGS, newId } from './record.ts'
import { type Draft, isThenable, type Prepared, type RecordStore, type Stored } from './record-store.ts'

/** The token of each tag; `undefined`: there is none. */
export type Tokens = ReadonlyMap<string, Stored | undefined>

/** What was read under a key: the record, the tokens of its tags and of those asked for, and what that means. */
export interface Look {
  /** `dead`: a tag was deleted since, or the bytes make no sense. `leased`: somebody loads the value. */
  readonly state: 'absent' | 'leased' | 'dead' | 'stale' | 'fresh'
  readonly record: Stored | undefined
  readonly tokens: Tokens
  /** When the read began, by the clock of `Loads`. */
  readonly born: number
}

/** How long an entry lives, in milliseconds. */
export interface Life {
  /** How long it is fresh; `undefined`: for ever. */
  readonly ttl: number | undefined
  /** How long it is kept beyond that. */
  readonly stale: number
}

/** How long an entry is in the store, in milliseconds. */
export const lengthOf = ({ ttl = Number.POSITIVE_INFINITY, stale }: Life): number => ttl + stale

/** What is to be written under a key, and its ttl in milliseconds. */
export type Written = readonly [draft: Draft, ttl: number | undefined]

/** How much longer than its entries a token lives, so that it is prolonged once for many of them. */
const TOKEN_MARGIN = 86_400_000

/** Internal keys start with `~`, and so that no user's key is one, a user's key that does gets one more. */
const keyOfToken = (tag: string): string => `~t:${tag}`

export const keysOfTokens = (tags: readonly string[]): string[] => tags.map(keyOfToken)

/**
 * Records with tags. A tag has a token, a random id under a key of its own; an entry holds the tokens that its tags had
 * before its value was loaded, and is dead once one of them is gone. So `deleteByTag` costs the same however many entries
 * carry the tag, and a token that the store loses makes entries dead, never alive.
 */
export class TaggedRecords {
  readonly #records: RecordStore
  readonly #loads: Loads
  readonly #local: LocalTier | undefined

  constructor(records: RecordStore, loads: Loads, local: LocalTier | undefined) {
    this.#records = records
    this.#loads = loads
    this.#local = local
  }

  /** As `look`, for values that are only read: what the local tier has comes from there, and it keeps the others. */
  glance(keys: readonly string[], tags?: readonly string[]): Promise<readonly Look[]> {
    return this.#local === undefined ? this.look(keys, tags) : this.#glance(this.#local, keys, tags)
  }

  async #glance(local: LocalTier, keys: readonly string[], tags?: readonly string[]): Promise<readonly Look[]> {
    const born = this.#loads.tick()
    const since = local.now()
    const looks = new Map<string, Look>()
    for (const key of keys) {
      const record = local.find(key)
      if (record !== undefined) looks.set(key, { state: 'fresh', record, tokens: NO_TAGS, born })
    }
    const missing = keys.filter(key => !looks.has(key))
    if (missing.length > 0) {
      const found = await this.look(missing, tags)
      const keep = async (key: string, index: number): Promise<void> => {
        const look = found[index] as Look
        looks.set(key, look)
        if (look.state === 'fresh') await local.keep(key, look.record as Stored, since)
      }
      await Promise.all(missing.map(keep))
    }
    return keys.map(key => looks.get(key) as Look)
  }

  /** Reads the keys and the tokens of `tags` in one batch; those of other tags that were found cost a second one. */
  async look(keys: readonly string[], tags: readonly string[] = []): Promise<readonly Look[]> {
    const born = this.#loads.tick()
    const reading = this.#records.read([...keys, ...keysOfTokens(tags)])
    const found = isThenable(reading) ? await reading : reading
    const tokens = new Map(tags.map((tag, index) => [tag, found[keys.length + index]]))
    const missing = new Set<string>()
    for (let index = 0; index < keys.length; index++) {
      for (const tag of found[index]?.tags.keys() ?? []) if (!tokens.has(tag)) missing.add(tag)
    }
    if (missing.size > 0) for (const [tag, token] of await this.#read([...missing])) tokens.set(tag, token)
    return keys.map((_, index) => ({ state: this.#judge(found[index], tokens), record: found[index], tokens, born }))
  }

  #judge(record: Stored | undefined, tokens: Tokens): Look['state'] {
    if (record === undefined) return 'absent'
    if (record.kind === 'corrupt' || record.kind === 'token') return 'dead'
    for (const [tag, id] of record.tags) if (tokens.get(tag)?.id !== id) return 'dead'
    if (record.kind === 'lease') return 'leased'
    return this.staleFor(record) < 0 ? 'fresh' : 'stale'
  }

  /** Milliseconds since the entry became stale; negative while it is fresh. */
  staleFor(record: Stored): number {
    return this.#records.now() - (record.freshUntil ?? Number.POSITIVE_INFINITY)
  }

  async #read(tags: readonly string[]): Promise<Map<string, Stored | undefined>> {
    const found = await this.#records.read(keysOfTokens(tags))
    return new Map(tags.map((tag, index) => [tag, found[index]]))
  }

  /** The tokens of `tags`, each made where it is missing, and prolonged where it would end in less than so many milliseconds. */
  async tokens(tags: readonly string[], needed: number, known?: Tokens): Promise<Tokens> {
    if (tags.length === 0) return NO_TAGS
    const found = known ?? (await this.#read(tags))
    const provide = async (tag: string): Promise<readonly [string, Stored]> => {
      const key = keyOfToken(tag)
      for (let token = found.get(tag); ; [token] = await this.#records.read([key])) {
        const exists = token?.kind === 'token'
        const now = this.#records.now()
        if (exists && (token?.expiresAt ?? Number.POSITIVE_INFINITY) - now >= needed) return [tag, token as Stored]
        const life = needed === Number.POSITIVE_INFINITY ? undefined : Math.ceil(2 * needed) + TOKEN_MARGIN
        const expiresAt = life === undefined ? undefined : Math.ceil(now + life)
        const next: Draft = { kind: 'token', id: exists ? (token?.id as string) : newId(), expiresAt, tags: NO_TAGS }
        const written = await this.#records.swap(key, token, next, life)
        if (written !== undefined) return [tag, written]
      }
    }
    return new Map(await Promise.all(tags.map(provide)))
  }

  /** What a value with these tags is stored as, and for how many milliseconds. */
  entry(prepared: Prepared, tags: Iterable<string>, tokens: Tokens, { ttl, stale }: Life): Written {
    const draft = { kind: 'entry', id: newId(), tags: idsOf(tags, tokens), prepared } as const
    if (ttl === undefined) return [draft, ttl]
    const now = this.#records.now()
    const freshUntil = stale > 0 ? Math.ceil(now + ttl) : undefined
    return [{ ...draft, freshUntil, expiresAt: Math.ceil(now + ttl + stale) }, ttl + stale]
  }
}

/** The ids of the tokens of these tags. */
export function idsOf(tags: Iterable<string>, tokens: Tokens): ReadonlyMap<string, string> {
  const ids = Array.from(tags, tag => [tag, (tokens.get(tag) as Stored).id] as const)
  return ids.length === 0 ? NO_TAGS : new Map(ids)
}
