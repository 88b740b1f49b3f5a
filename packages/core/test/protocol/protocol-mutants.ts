import type { Task } from './simulation.ts'

/** A bug in the protocol: one edit of one file. */
export interface ProtocolMutant {
  readonly name: string
  readonly file: string
  readonly replace: string
  readonly by: string
  /** What shows it, where tasks that are picked at random seldom do. */
  readonly tasks?: readonly Task[] | undefined
  /** Whether it takes a local tier to show it. */
  readonly tiered?: boolean | undefined
}

const tagged: readonly Task[] = [
  ['load with tag', 0],
  ['deleteByTag', 1],
  ['load with tag', 0],
]
const taken: readonly Task[] = [
  ['load', 0],
  ['delete', 1],
  ['load', 1],
  ['load', 0],
  ['load', 0],
]
const awaited: readonly Task[] = [
  ['load', 0],
  ['load', 1],
  ['delete', 2],
  ['load', 1],
]

export const protocolMutants: readonly ProtocolMutant[] = [
  {
    name: 'the loaded value is written whatever is there',
    file: 'protocol.ts',
    replace: '=> records.swap(call.stored, basis, draft, ttl)',
    by: '=> (await records.set(call.stored, draft, ttl), {} as never)',
  },
  {
    name: 'the loaded value is written where there is nothing, lease or not',
    file: 'protocol.ts',
    replace: '=> records.swap(call.stored, basis, draft, ttl)',
    by: '=> (await records.swap(call.stored, basis, draft, ttl)) || (await records.swap(call.stored, undefined, draft, ttl))',
  },
  {
    name: 'tokens are not compared',
    file: 'tagged-records.ts',
    replace: "for (const [tag, id] of record.tags) if (tokens.get(tag)?.id !== id) return 'dead'",
    by: '',
  },
  {
    name: 'a missing token is taken for an unchanged one',
    file: 'tagged-records.ts',
    replace: 'if (tokens.get(tag)?.id !== id)',
    by: 'if ((tokens.get(tag)?.id ?? id) !== id)',
  },
  {
    name: 'tokens are read after the load',
    file: 'protocol.ts',
    replace: `    await tagged.tokens(call.tags, lengthOf(life), tokens)
    const [draft, ttl] = tagged.entry(prepared, call.tags, tokens, life)`,
    by: `    const [draft, ttl] = tagged.entry(prepared, call.tags, await tagged.tokens(call.tags, lengthOf(life)), life)`,
  },
  {
    name: 'a new token is the same as the deleted one',
    file: 'tagged-records.ts',
    replace: 'exists ? (token?.id as string) : newId()',
    by: 'tag',
  },
  {
    name: 'a load is joined whatever was read',
    file: 'protocol.ts',
    replace: "const based = lease.scope === 'process' || (look !== undefined && isBasis(load, look))",
    by: 'const based = true',
  },
  {
    name: 'a load is joined by whoever reads a lease, of whomever',
    file: 'protocol.ts',
    replace: "return record !== undefined && record.id !== '' && record.id === load?.basis?.id && state !== 'dead'",
    by: "return record?.kind === 'lease'",
    tasks: taken,
  },
  {
    name: 'a load is joined whose lease is dead',
    file: 'protocol.ts',
    replace: "record.id === load?.basis?.id && state !== 'dead'",
    by: 'record.id === load?.basis?.id',
    tasks: tagged,
  },
  {
    name: 'all leases look alike',
    file: 'protocol.ts',
    replace: "const draft: Draft = { kind: 'lease', id: newId(), tags: idsOf(call.tags, tokens) }",
    by: "const draft: Draft = { kind: 'lease', id: 'lease', tags: idsOf(call.tags, tokens) }",
  },
  {
    name: 'a lease takes no tokens along',
    file: 'protocol.ts',
    replace: "const draft: Draft = { kind: 'lease', id: newId(), tags: idsOf(call.tags, tokens) }",
    by: "const draft: Draft = { kind: 'lease', id: newId(), tags: new Map() }",
    tasks: tagged,
  },
  {
    name: 'what another process loaded is answered to whoever waits, however late they came',
    file: 'protocol.ts',
    replace: 'if (based || outcome.born > began)',
    by: 'if (based || outcome.born >= 0)',
    tasks: awaited,
  },
  {
    name: 'a dead entry is served as a stale one',
    file: 'tagged-records.ts',
    replace: '  #judge(record: Stored | undefined, tokens: Tokens): ',
    by: `  #judge(record: Stored | undefined, tokens: Tokens): Look['state'] {
    if (record?.kind === 'entry' && this.staleFor(record) >= 0) return 'stale'
    return this.judge(record, tokens)
  }

  private judge(record: Stored | undefined, tokens: Tokens): `,
  },
  {
    name: 'a refreshed value is written whatever became of the stale one',
    file: 'protocol.ts',
    replace: '=> records.swap(call.stored, basis, draft, ttl)',
    by: "=> lease?.key === call.stored || basis?.kind !== 'entry' ? await records.swap(call.stored, basis, draft, ttl) : (await records.set(call.stored, draft, ttl), {} as never)",
  },
  {
    name: 'in the scope of a process, an invalidation detaches no load',
    file: 'loads.ts',
    replace: 'for (const load of concerned) if (load !== undefined) load.attached = false',
    by: '',
  },
  {
    name: 'in the scope of a process, an invalidation does not wait for the value that is just being stored',
    file: 'loads.ts',
    replace: 'await Promise.all(concerned.map(load => load?.storing))',
    by: '',
  },
  {
    name: 'the local tier keeps what was invalidated while it was read',
    file: 'tagged-records.ts',
    replace: 'look.record as Stored, since)',
    by: 'look.record as Stored, local.now())',
    tiered: true,
  },
  {
    name: 'a local value is out of date only from when its invalidation begins',
    file: 'local-tier.ts',
    replace: `written all the same.
      this.#invalidations.add(hashes)`,
    by: '',
    tiered: true,
  },
  {
    name: 'other processes are not told what became invalid',
    file: 'local-tier.ts',
    replace: 'this.#invalidations.publish(hashes)',
    by: '',
    tiered: true,
  },
  {
    name: 'other processes are told what becomes invalid before it does',
    file: 'local-tier.ts',
    replace: `    this.#invalidations.add(hashes)
    try {`,
    by: `    this.#invalidations.publish(hashes)
    return write()
    try {`,
    tiered: true,
  },
  {
    name: 'a local value does not know its tags',
    file: 'local-tier.ts',
    replace: '[key, ...keysOfTokens([...record.tags.keys()])]',
    by: '[key]',
    tiered: true,
  },
]
