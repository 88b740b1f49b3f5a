import { hash } from 'node:crypto'
import type { BackendSupports, LiveEntry, LiveStore, NewEntry, StoredEntry, WriteOptions } from '../../src/backend.ts'
import type { Deadline } from '../../src/backend-view.ts'
import type { BackendOptions } from '../../src/base-backend.ts'
import type { Rule } from '../../src/conformance/case.ts'
import { addToCounter } from '../../src/counter.ts'
import { CacheError } from '../../src/errors.ts'
import { LiveBackend } from './live-backend.ts'
import type { ReferenceBackend, ReferenceStore } from './reference-backend.ts'

type Reference = typeof ReferenceBackend

/** A correct backend with one bug of the kind that real libraries have shipped. */
export interface Mutant {
  readonly name: string
  /** Whose bug it is, or of which class. */
  readonly source: string
  /** The rule that it breaks: a case of this rule has to catch it. */
  readonly rule: Rule
  readonly supports?: Partial<BackendSupports>
  mutate(Base: Reference): Reference
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
const pause = (milliseconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))
const expired = (entry: StoredEntry | undefined, now: number): boolean =>
  entry?.expiresAt !== undefined && entry.expiresAt <= now

/** Mutants that store under another id than they are given. */
function misplaced(name: string, source: string, rule: Rule, place: (id: string) => string): Mutant {
  return {
    name,
    source,
    rule,
    mutate: Base =>
      class extends Base {
        protected override place(id: string): string {
          return place(id)
        }
      },
  }
}

/** Mutants that change what they store. */
function distorted(
  name: string,
  source: string,
  rule: Rule,
  distort: (entry: NewEntry) => NewEntry | undefined,
): Mutant {
  return {
    name,
    source,
    rule,
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          const distorted = distort(entry)
          if (distorted !== undefined) super.write(id, distorted)
        }
      },
  }
}

/** Applies `edit` to the part of an id behind its namespaces. */
function keyPart(id: string, edit: (key: string) => string): string {
  const start = /^[^:]*:(?:@[^@#:][^:]*:)*/.exec(id)?.[0].length ?? 0
  return id.slice(0, start) + edit(id.slice(start))
}

export const mutants: readonly Mutant[] = [
  // R1: a miss is undefined, a failure rejects
  {
    name: 'a miss is null',
    source: '@keyv/test-suite lets adapters choose; unstorage answers null',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          return (await super.get(key)) ?? (null as unknown as undefined)
        }
      },
  },
  {
    name: 'an error looks like a miss',
    source: 'async-cache-dedupe get; gofiber/storage #3126',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        protected override async _get(id: string): Promise<StoredEntry | undefined> {
          await pause(5)
          return super._get(id)
        }
        override get(key: string): Promise<Uint8Array | undefined> {
          return super.get(key).catch(() => undefined)
        }
      },
  },
  {
    name: 'an empty value is a miss',
    source: 'truthiness on data: bentocache, Keyv',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          const value = await super.get(key)
          return value?.length ? value : undefined
        }
      },
  },
  {
    name: 'the text null is a miss',
    source: 'cases.md section 0: "null treated as a miss" survives every suite',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          const value = await super.get(key)
          return value && text(value) !== 'null' ? value : undefined
        }
      },
  },
  {
    name: 'has() goes by the truth of the value',
    source: 'cases.md section 0: "has() by truthiness" survives every suite',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        protected override async _has(id: string): Promise<boolean> {
          const entry = await this._get(id)
          return !expired(entry, this.now()) && !['', '0', 'false', undefined].includes(entry && text(entry.value))
        }
      },
  },
  {
    name: 'getMany() leaves misses out',
    source: 'php-cache and Rails answer maps; ports to arrays lose the places',
    rule: 'R1',
    mutate: Base =>
      class extends Base {
        override async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
          return (await super.getMany(keys)).filter(value => value !== undefined)
        }
      },
  },

  // R2: bytes come back exactly
  distorted(
    'values go through UTF-8',
    'the `memcached` driver; cases.md section 0: binary through utf8',
    'R2',
    entry => ({
      ...entry,
      value: bytes(text(entry.value)),
    }),
  ),
  distorted('white space around values is trimmed', 'text protocols', 'R2', entry => ({
    ...entry,
    value: bytes(Buffer.from(entry.value).toString('latin1').trim()),
  })),
  distorted('values over 1 MB are dropped', 'memcached; cases.md section 0', 'R2', entry =>
    entry.value.length > 1_000_000 ? undefined : entry,
  ),
  {
    name: 'a value that looks like our envelope is unwrapped',
    source: 'Keyv; Symfony weird-data; gofiber/storage #3126',
    rule: 'R2',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          const value = await super.get(key)
          return value && text(value).startsWith('{"value":') ? bytes(String(JSON.parse(text(value)).value)) : value
        }
      },
  },
  {
    name: 'the whole buffer behind a view is stored',
    source: 'abstract-level: Buffer slice with offset',
    rule: 'R2',
    mutate: Base =>
      class extends Base {
        override set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          return super.set(key, value instanceof Uint8Array ? new Uint8Array(value.buffer) : value, options)
        }
      },
  },
  {
    name: 'get() answers an array of numbers',
    source: 'JSON round trips of a Buffer',
    rule: 'R2',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          const value = await super.get(key)
          return value && (Array.from(value) as unknown as Uint8Array)
        }
      },
  },
  distorted('a line end at the end of a value is lost', 'text protocols, memcached', 'R2', entry => ({
    ...entry,
    value: entry.value.at(-1) === 10 ? entry.value.slice(0, -1) : entry.value,
  })),

  // R3: stored values are not aliased
  {
    name: 'set() reads its buffer a little later',
    source: 'queued writes without a copy',
    rule: 'R3',
    mutate: Base =>
      class extends Base {
        override async set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          await null
          return super.set(key, value, options)
        }
      },
  },
  {
    name: 'the stored buffer itself is handed out',
    source: 'in-memory caches; bbolt: a view onto mapped memory',
    rule: 'R3',
    mutate: Base =>
      class extends Base {
        protected override async _get(id: string): Promise<StoredEntry | undefined> {
          await this.travel()
          return this.look(id)
        }
      },
  },
  {
    name: 'equal keys of getMany() share a buffer',
    source: 'deduplicated batch reads',
    rule: 'R3',
    mutate: Base =>
      class extends Base {
        override async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
          const values = await super.getMany(keys)
          return values.map((_, index) => values[keys.indexOf(keys[index] as string)])
        }
      },
  },
  {
    name: 'setMany() reads its entries a little later',
    source: 'batches put off to the next tick',
    rule: 'R3',
    mutate: Base =>
      class extends Base {
        override async setMany(...args: Parameters<ReferenceBackend['setMany']>): Promise<void> {
          await null
          return super.setMany(...args)
        }
      },
  },
  {
    name: 'deleteMany() empties the array it was given',
    source: 'Rails test: delete_multi does not mutate its names',
    rule: 'R3',
    mutate: Base =>
      class extends Base {
        override deleteMany(keys: string[]): Promise<void> {
          return super.deleteMany(Array.isArray(keys) ? keys.splice(0) : keys)
        }
      },
  },
  {
    name: 'any value that can be turned into bytes is taken',
    source: 'Buffer.from(value) without a check',
    rule: 'R2',
    mutate: Base =>
      class extends Base {
        override set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          return super.set(key, typeof value === 'string' ? bytes(value) : value, options)
        }
      },
  },

  // R4: a write has happened when its promise resolves
  {
    name: 'set() resolves before it is stored',
    source: 'gofiber/storage #3126: set is asynchronous (ristretto)',
    rule: 'R4',
    mutate: Base =>
      class extends Base {
        protected override async _set(id: string, entry: NewEntry): Promise<void> {
          void pause(2).then(() => this.write(id, entry))
        }
      },
  },
  {
    name: 'reads are remembered for 50 ms',
    source: 'near caches without invalidation',
    rule: 'R4',
    mutate: Base =>
      class extends Base {
        readonly #near = new Map<string, { entry: StoredEntry | undefined; until: number }>()
        protected override async _get(id: string): Promise<StoredEntry | undefined> {
          const near = this.#near.get(id)
          if (near && near.until > performance.now()) return near.entry
          const entry = await super._get(id)
          this.#near.set(id, { entry, until: performance.now() + 50 })
          return entry
        }
        protected override async _set(id: string, entry: NewEntry): Promise<void> {
          this.#near.delete(id)
          return super._set(id, entry)
        }
        protected override async _swap(
          ...args: [string, StoredEntry | undefined, NewEntry | undefined]
        ): Promise<boolean> {
          this.#near.delete(args[0])
          return super._swap(...args)
        }
      },
  },
  {
    name: 'delete() throws instead of rejecting',
    source: 'cases.md A17: no synchronous throw',
    rule: 'R8',
    mutate: Base =>
      class extends Base {
        override delete(key: string): Promise<boolean> {
          if (typeof key !== 'string' || key === '') throw new CacheError({ code: 'CACHE_INVALID_KEY' })
          return super.delete(key)
        }
      },
  },
  {
    name: 'set() resolves to true',
    source: 'Keyv set',
    rule: 'R4',
    mutate: Base =>
      class extends Base {
        override async set(...args: Parameters<ReferenceBackend['set']>): Promise<void> {
          await super.set(...args)
          return true as unknown as undefined
        }
      },
  },

  // R5: set replaces value and deadline
  {
    name: 'an overwrite without ttl keeps the old deadline',
    source: 'cases.md section 0: "overwrite that keeps the old ttl" survives every suite',
    rule: 'R5',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          super.write(id, { ...entry, expiresAt: entry.expiresAt ?? this.look(id)?.expiresAt })
        }
      },
  },
  {
    name: 'an overwrite never shortens a life',
    source: 'JSR-107 expiry policies',
    rule: 'R5',
    mutate: Base =>
      class extends Base {
        protected override async _set(id: string, entry: NewEntry): Promise<void> {
          const old = this.look(id)?.expiresAt ?? 0
          return super._set(id, { ...entry, ...(entry.expiresAt && { expiresAt: Math.max(old, entry.expiresAt) }) })
        }
      },
  },
  {
    name: 'compareAndSet() keeps the old deadline',
    source: 'UPDATE .. SET value alone',
    rule: 'R5',
    mutate: Base =>
      class extends Base {
        protected override async _swap(
          id: string,
          expected: StoredEntry | undefined,
          next: NewEntry | undefined,
        ): Promise<boolean> {
          return super._swap(id, expected, expected && next && { ...next, expiresAt: expected.expiresAt })
        }
      },
  },
  {
    name: 'a shorter value leaves the end of a longer one',
    source: 'SETRANGE-like writes',
    rule: 'R5',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          const old = this.look(id)?.value ?? new Uint8Array(0)
          super.write(id, { ...entry, value: Buffer.concat([entry.value, old.subarray(entry.value.length)]) })
        }
      },
  },

  // R6: delete
  {
    name: 'delete() is always true',
    source: 'bentocache, unstorage',
    rule: 'R6',
    mutate: Base =>
      class extends Base {
        protected override async _delete(id: string): Promise<boolean> {
          await this.travel()
          this.records.delete(this.place(id))
          return true
        }
      },
  },
  {
    name: 'delete() of a missing key is an error',
    source: 'gofiber/storage arangodb',
    rule: 'R6',
    mutate: Base =>
      class extends Base {
        protected override async _delete(id: string): Promise<boolean> {
          await this.travel()
          if (!this.records.delete(this.place(id))) throw new Error('document not found')
          return true
        }
      },
  },
  {
    name: 'delete() takes everything that starts with the key along',
    source: 'delete by pattern',
    rule: 'R6',
    mutate: Base =>
      class extends Base {
        protected override async _delete(id: string): Promise<boolean> {
          await this.travel()
          const doomed = [...this.records.keys()].filter(other => other.startsWith(id))
          for (const other of doomed) this.records.delete(other)
          return doomed.includes(id)
        }
      },
  },

  // R7: values over the limit
  {
    name: 'an oversize write is swallowed',
    source: 'memcached clients; gofiber/storage',
    rule: 'R7',
    mutate: Base =>
      class extends Base {
        override async set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          if (value?.length <= this.supports.maxValueBytes) return super.set(key, value, options)
        }
      },
  },
  {
    name: 'an oversize write deletes the old value',
    source: 'Django memcached: deletes the key on a failed set',
    rule: 'R7',
    mutate: Base =>
      class extends Base {
        override async set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          if (value?.length > this.supports.maxValueBytes) await super.delete(key)
          return super.set(key, value, options)
        }
      },
  },
  {
    name: 'setMany() leaves oversize values out',
    source: 'Django set_many answers the failed keys, callers ignore them',
    rule: 'R7',
    mutate: Base =>
      class extends Base {
        override setMany(...[entries, options]: Parameters<ReferenceBackend['setMany']>): Promise<void> {
          const list = Array.isArray(entries) ? entries : undefined
          const fitting = list?.filter(entry => !(entry?.[1]?.length > this.supports.maxValueBytes))
          return super.setMany(fitting ?? entries, options)
        }
      },
  },

  // R8: any string is a key
  misplaced('long keys become a hash that a user key can be', 'hash of long keys without a mark', 'R8', id =>
    id.length > 1000 ? `${id.slice(0, id.indexOf(':') + 1)}${hash('sha256', id, 'base64url')}` : id,
  ),
  {
    name: 'the empty key is a miss',
    source: 'no validation',
    rule: 'R8',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          return key === '' ? undefined : super.get(key)
        }
      },
  },
  {
    name: 'keys over 2048 bytes are errors of the store',
    source: 'DynamoDB partition keys, Firestore ids, memcached 250',
    rule: 'R8',
    mutate: Base =>
      class extends Base {
        protected override place(id: string): string {
          if (Buffer.byteLength(id) > 2048) throw new Error('key too long')
          return id
        }
      },
  },
  {
    name: 'batches check their first key only',
    source: 'PSR-16 suite: validates every key before mutation',
    rule: 'R8',
    mutate: Base =>
      class extends Base {
        override deleteMany(keys: readonly string[]): Promise<void> {
          const [first = '', ...more] = Array.isArray(keys) ? keys : []
          if (!Array.isArray(keys) || keys.length < 2) return super.deleteMany(keys)
          return super.deleteMany([
            first,
            ...more.filter(key => typeof key === 'string' && key !== '' && key.isWellFormed()),
          ])
        }
      },
  },
  {
    name: 'keys() answers physical ids',
    source: 'cases.md group I: un-prefixed keys',
    rule: 'R8',
    mutate: Base =>
      class extends Base {
        override async *keys(): AsyncGenerator<string> {
          for await (const key of super.keys()) yield `kit:${key}`
        }
      },
  },
  {
    name: '__proto__ is lost',
    source: 'a plain object as a map',
    rule: 'R8',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          if (!id.endsWith(':__proto__')) super.write(id, entry)
        }
      },
  },
  {
    name: 'lone surrogates become U+FFFD',
    source: 'Buffer.from of any string: two keys, one entry',
    rule: 'R8',
    mutate: Base =>
      class extends Base {
        override get(key: string): Promise<Uint8Array | undefined> {
          return super.get(typeof key === 'string' ? key.toWellFormed() : key)
        }
      },
  },

  // R9: keys are compared exactly
  misplaced('keys are trimmed', 'Keyv memcache; cases.md section 0', 'R9', id => id.trimEnd()),
  misplaced('keys are cut at 250 characters', 'memcached; cases.md section 0', 'R9', id => id.slice(0, 250)),
  misplaced('keys are cut at 1,000 characters', 'SQL columns that truncate', 'R9', id => id.slice(0, 1000)),
  misplaced('keys are lower-cased', 'case-insensitive collations', 'R9', id => keyPart(id, key => key.toLowerCase())),
  misplaced('keys are normalised', 'Unicode normalisation in stores and file systems', 'R9', id => id.normalize()),
  misplaced('non-ASCII characters are dropped from keys', 'cases.md section 0', 'R9', id =>
    keyPart(id, key => key.replace(/[^\0-~]/g, '') || key),
  ),
  misplaced('keys end at NUL', 'C strings', 'R9', id => keyPart(id, key => key.split('\0')[0] || key)),
  misplaced('white space in keys becomes one character', 'memcached clients that escape', 'R9', id =>
    keyPart(id, key => key.replace(/\s/g, '_')),
  ),
  misplaced('accents do not count', 'accent-insensitive collations', 'R9', id =>
    keyPart(id, key => key.normalize('NFD').replace(/\p{M}/gu, '') || key),
  ),
  misplaced('keys are percent-decoded', 'HTTP stores', 'R9', id => keyPart(id, key => key.replace('%20', ' '))),
  misplaced('a slash more does not count', 'path-like ids (Firestore, S3)', 'R9', id =>
    keyPart(id, key => key.replace(/\/+/g, '/')),
  ),

  // R10: namespaces do not touch
  misplaced('a key that starts with the prefix is not prefixed', 'Keyv formatKey', 'R10', id => {
    const prefix = id.slice(0, id.indexOf(':') + 1)
    return id.startsWith(prefix + prefix) ? id.slice(prefix.length) : id
  }),
  misplaced(
    'names are joined without escaping',
    "'a' + 'b:c' and 'a:b' + 'c': bentocache, Keyv, unstorage",
    'R10',
    id => id.replaceAll('%3A', ':').replaceAll('@', ''),
  ),
  misplaced('names ignore case', 'case-insensitive table or folder names', 'R10', id =>
    id.replace(/@[^@#:][^:]*:/g, name => name.toLowerCase()),
  ),
  {
    name: 'counters know no namespaces',
    source: 'counters in a table of their own',
    rule: 'R10',
    mutate: Base =>
      class extends Base {
        protected override async _increment(...args: Parameters<ReferenceBackend['_increment']>): Promise<number> {
          const [id, ...more] = args
          return super._increment(id.replace(/@[^@#:][^:]*:/g, ''), ...more)
        }
      },
  },
  {
    name: 'invalid names are taken',
    source: 'cases.md group H: empty namespace',
    rule: 'R10',
    mutate: Base =>
      class extends Base {
        override namespace(name: string): ReturnType<ReferenceBackend['namespace']> {
          return super.namespace(name || 'default')
        }
      },
  },

  // R11: clear
  {
    name: 'clear() empties the store',
    source: 'async-cache-dedupe FLUSHALL; Keyv memcache flush',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(): Promise<void> {
          this.records.clear()
        }
      },
  },
  {
    name: 'clear() of a also takes ab',
    source: 'prefix without the separator: bentocache test usersAbc, Keyv',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          return super._clear(prefix.slice(0, -1), () => {})
        }
      },
  },
  {
    name: 'clear() takes _ and % for wildcards',
    source: 'bentocache kysely: unescaped LIKE',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          const pattern = prefix
            .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
            .replaceAll('%', '.*')
            .replaceAll('_', '.')
          this.remove(new RegExp(`^${pattern}`, 'su'))
        }
        remove(pattern: RegExp): void {
          for (const id of this.records.keys()) if (pattern.test(id)) this.records.delete(id)
        }
      },
  },
  {
    name: 'clear() takes * and ? for wildcards',
    source: 'cases.md section 0: unescaped glob in clear survives every suite',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          const pattern = prefix
            .replace(/[.+^${}()|[\]\\]/g, '\\$&')
            .replaceAll('*', '.*')
            .replaceAll('?', '.')
          for (const id of this.records.keys()) {
            if (id.startsWith(prefix) || new RegExp(`^${pattern}`, 'su').test(id)) this.records.delete(id)
          }
        }
      },
  },
  {
    name: 'clear() removes the first page only',
    source: 'Keyv dynamo: one scan page',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          const ids = [...this.records.keys()].filter(id => id.startsWith(prefix))
          for (const id of ids.slice(0, 1000)) this.records.delete(id)
        }
      },
  },
  {
    name: 'clear() leaves namespaces inside',
    source: 'bentocache: clearing the root clears children',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          for (const id of this.records.keys()) {
            if (id.startsWith(prefix) && !/^@[^@#]/.test(id.slice(prefix.length))) this.records.delete(id)
          }
        }
      },
  },
  {
    name: 'clear() removes what this client has written',
    source: 'a list of own keys',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        readonly #own = new Set<string>()
        protected override write(id: string, entry: NewEntry): void {
          this.#own.add(id)
          super.write(id, entry)
        }
        protected override async _clear(prefix: string): Promise<void> {
          for (const id of this.#own) if (id.startsWith(prefix)) this.records.delete(id)
        }
      },
  },
  {
    name: 'clear() resolves before it is done',
    source: 'fire and forget',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          void pause(5).then(() => super._clear(prefix, () => {}))
        }
      },
  },
  {
    name: 'clear() goes on while others write',
    source: 'loops until the namespace is empty',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string, progress: () => void): Promise<void> {
          while ([...this.records.keys()].some(id => id.startsWith(prefix))) {
            await super._clear(prefix, progress)
            await pause(5)
            progress()
          }
        }
      },
  },
  {
    name: 'clear() forgets counters',
    source: 'bookkeeping that clear() does not know',
    rule: 'R11',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          for (const [id, { value }] of this.records) {
            if (id.startsWith(prefix) && !/^\d+$/.test(text(value))) this.records.delete(id)
          }
        }
      },
  },

  // R13: what is a ttl
  {
    name: 'ttl 0 means for ever',
    source: 'bentocache: if (!ttl)',
    rule: 'R13',
    mutate: Base =>
      class extends Base {
        override set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          return super.set(key, value, options?.ttl === 0 ? undefined : options)
        }
      },
  },
  {
    name: 'a negative ttl deletes',
    source: 'PSR-16, Django',
    rule: 'R13',
    mutate: Base =>
      class extends Base {
        override async set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          if (typeof options?.ttl === 'number' && options.ttl < 0) await super.delete(key)
          else await super.set(key, value, options)
        }
      },
  },
  {
    name: 'a ttl may be a text',
    source: 'comparison without a look at the type',
    rule: 'R13',
    mutate: Base =>
      class extends Base {
        override add(key: string, value: Uint8Array, options?: WriteOptions): Promise<boolean> {
          const ttl = options?.ttl as unknown
          return super.add(key, value, ttl === '1000' ? { ttl: Number(ttl) } : options)
        }
      },
  },
  {
    name: 'fractions of a ttl are cut off',
    source: 'gofiber/storage pebble: sub-second ttls',
    rule: 'R13',
    mutate: Base =>
      class extends Base {
        override set(key: string, value: Uint8Array, options?: WriteOptions): Promise<void> {
          const ttl = options?.ttl
          return super.set(key, value, typeof ttl === 'number' && ttl > 1 ? { ttl: Math.floor(ttl) } : options)
        }
      },
  },
  {
    name: 'Infinity means no expiry',
    source: 'Django: None and Infinity',
    rule: 'R13',
    mutate: Base =>
      class extends Base {
        override touch(key: string, options: { readonly ttl: number | undefined }): Promise<boolean> {
          return super.touch(key, options?.ttl === Number.POSITIVE_INFINITY ? { ttl: undefined } : options)
        }
      },
  },

  // R14: visible until the deadline and never after it
  distorted('ttl is ignored', 'adapters without expiry', 'R14', entry => ({ value: entry.value })),
  {
    name: 'ttl is rounded down to seconds, and 0 is for ever',
    source: 'cases.md: 900 ms becomes 0 seconds',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, { value, ttl, expiresAt }: NewEntry): void {
          const seconds = ttl === undefined ? undefined : Math.floor(ttl / 1000)
          const deadline = seconds === undefined ? expiresAt : seconds && this.now() + seconds * 1000
          super.write(id, { value, expiresAt: deadline || undefined })
        }
      },
  },
  {
    name: 'ttl is rounded up to seconds',
    source: 'stores that count in seconds',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, { value, ttl, expiresAt }: NewEntry): void {
          super.write(id, {
            value,
            expiresAt: ttl === undefined ? expiresAt : this.now() + Math.ceil(ttl / 1000) * 1000,
          })
        }
      },
  },
  {
    name: 'the deadline is rounded down to a second',
    source: 'expires_at in whole seconds',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, { value, expiresAt }: NewEntry): void {
          super.write(id, { value, expiresAt: expiresAt && Math.floor(expiresAt / 1000) * 1000 })
        }
      },
  },
  {
    name: 'the store deletes early: its own ttl has no padding',
    source: 'memcached: exptime in whole seconds of a ticking clock',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          super.write(id, entry)
          const record = this.records.get(id)
          if (entry.ttl !== 1100) return
          const timer = setTimeout(() => this.records.get(id) === record && this.records.delete(id), entry.ttl - 100)
          timer.unref()
        }
      },
  },
  {
    name: 'has() sees what has expired',
    source: 'DynamoDB, MongoDB, Firestore: lazy deletion',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _has(id: string): Promise<boolean> {
          await this.travel()
          return this.look(id) !== undefined
        }
      },
  },
  {
    name: 'getMany() sees what has expired',
    source: 'expiry checked in get only: Keyv adapters',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _getMany(ids: readonly string[]): Promise<(StoredEntry | undefined)[]> {
          return Promise.all(
            ids.map(async id => (await this._get(id)) && { value: ((await this._get(id)) as StoredEntry).value }),
          )
        }
      },
  },
  {
    name: 'getEntry() sees what has expired',
    source: 'expiry checked in get only',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _getEntry(
          id: string,
        ): Promise<{ value: Uint8Array; ttl: number | undefined } | undefined> {
          const entry = await this._get(id)
          return entry && { value: entry.value, ttl: entry.expiresAt && Math.max(1, entry.expiresAt - this.now()) }
        }
      },
  },
  {
    name: 'keys() lists what has expired',
    source: 'cases.md E3: iterate',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async *_keys(prefix: string): AsyncGenerator<string> {
          for (const id of [...this.records.keys()]) if (id.startsWith(prefix)) yield id
        }
      },
  },
  {
    name: 'reading lengthens a life',
    source: 'cases.md E22: sliding expiry',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _get(id: string): Promise<StoredEntry | undefined> {
          const entry = await super._get(id)
          const record = this.records.get(id)
          if (record?.expiresAt && record.expiresAt > this.now()) {
            this.records.set(id, { value: record.value, expiresAt: Math.max(record.expiresAt, this.now() + 30_000) })
          }
          return entry
        }
      },
  },
  {
    name: 'setMany() has no ttl',
    source: 'MSET',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _setMany(entries: readonly (readonly [string, NewEntry])[]): Promise<void> {
          await Promise.all(entries.map(([id, { value }]) => this._set(id, { value })))
        }
      },
  },
  {
    name: 'add() has no ttl',
    source: 'SETNX',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _add(
          ...[id, entry, progress]: Parameters<ReferenceBackend['_add']>
        ): Promise<boolean> {
          return super._add(id, { value: entry.value }, progress)
        }
      },
  },
  {
    name: 'getEntry() tells seconds',
    source: 'TTL instead of PTTL',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _getEntry(
          id: string,
        ): Promise<{ value: Uint8Array; ttl: number | undefined } | undefined> {
          const entry = await super._getEntry(id)
          return entry && { value: entry.value, ttl: entry.ttl && Math.ceil(entry.ttl / 1000) }
        }
      },
  },
  {
    name: 'touch() changes nothing where there was no deadline',
    source: 'EXPIRE with XX semantics',
    rule: 'R14',
    mutate: Base =>
      class extends Base {
        protected override async _touch(
          ...[id, deadline, progress]: Parameters<ReferenceBackend['_touch']>
        ): Promise<boolean> {
          const entry = await this._get(id)
          return entry && entry.expiresAt === undefined ? true : super._touch(id, deadline, progress)
        }
      },
  },
  {
    name: 'an entry outlives its deadline by up to 50 ms',
    source: 'sweeps instead of checks',
    rule: 'R14',
    supports: { clock: 'store' },
    mutate: Base =>
      class extends Base {
        protected override look(id: string): StoredEntry | undefined {
          const record = this.records.get(id)
          return record?.expiresAt === undefined || record.expiresAt > Date.now() - 50 ? record : undefined
        }
      },
  },
  {
    name: 'an entry ends 20 ms early',
    source: 'safety margins against clock skew',
    rule: 'R14',
    supports: { clock: 'store' },
    mutate: Base =>
      class extends Base {
        protected override look(id: string): StoredEntry | undefined {
          const record = this.records.get(id)
          return record?.expiresAt === undefined || record.expiresAt > Date.now() + 20 ? record : undefined
        }
      },
  },

  // R15: long ttls
  {
    name: 'over 30 days is a date in 1970',
    source: 'memcached: absolute exptime; cases.md section 0',
    rule: 'R15',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          super.write(id, { ...entry, ...(entry.ttl && entry.ttl > 30 * 24 * 3_600_000 && { expiresAt: entry.ttl }) })
        }
      },
  },
  {
    name: 'ttl has 32 bits',
    source: 'setTimeout; valkey and memory storage overflows',
    rule: 'R15',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          super.write(id, { ...entry, expiresAt: entry.ttl ? this.now() + (entry.ttl | 0) : entry.expiresAt })
        }
      },
  },
  {
    name: 'no ttl is longer than a year',
    source: 'silent caps',
    rule: 'R15',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          const year = this.now() + 365 * 24 * 3_600_000
          super.write(id, { ...entry, expiresAt: entry.expiresAt && Math.min(entry.expiresAt, year) })
        }
      },
  },

  // R16: an expired entry is absent
  {
    name: 'add() fails on an expired entry',
    source: 'INSERT .. ON CONFLICT DO NOTHING; cases.md E21',
    rule: 'R16',
    mutate: Base =>
      class extends Base {
        protected override async _add(id: string, entry: NewEntry): Promise<boolean> {
          return this._swap(id, undefined, entry)
        }
      },
  },
  {
    name: 'an expired counter counts on',
    source: 'UPDATE .. SET n = n + 1 without a look at the deadline',
    rule: 'R16',
    mutate: Base =>
      class extends Base {
        protected override async _increment(id: string, by: number, deadline: Deadline): Promise<number> {
          await this.travel()
          const record = this.look(id)
          const { sum, bytes } = addToCounter(record?.value, by)
          const old = expired(record, this.now()) ? deadline : { expiresAt: record?.expiresAt }
          this.write(id, { value: bytes, ...(record ? old : deadline) })
          return sum
        }
      },
  },
  {
    name: 'touch() revives the dead',
    source: 'cases.md E16',
    rule: 'R16',
    mutate: Base =>
      class extends Base {
        protected override async _touch(id: string, deadline: Deadline): Promise<boolean> {
          await this.travel()
          const record = this.look(id)
          if (record) this.write(id, { value: record.value, ...deadline })
          return record !== undefined
        }
      },
  },
  {
    name: 'compareAndSet() meets the dead',
    source: 'WHERE value = .. without the deadline',
    rule: 'R16',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry): Promise<boolean> {
          await this.travel()
          const record = this.look(id)
          if (!record || Buffer.compare(record.value, expected) !== 0) return false
          this.write(id, entry)
          return true
        }
      },
  },
  {
    name: 'delete() of an expired entry is true',
    source: 'affected rows',
    rule: 'R16',
    mutate: Base =>
      class extends Base {
        protected override async _delete(id: string): Promise<boolean> {
          await this.travel()
          return this.records.delete(id)
        }
      },
  },
  {
    name: 'add() over an expired entry keeps its deadline',
    source: 'upserts that update the value only',
    rule: 'R16',
    mutate: Base =>
      class extends Base {
        protected override async _add(
          ...[id, entry, progress]: Parameters<ReferenceBackend['_add']>
        ): Promise<boolean> {
          const old = this.look(id)
          return super._add(id, old?.expiresAt && !entry.ttl ? { ...entry, expiresAt: old.expiresAt } : entry, progress)
        }
      },
  },

  // R17: removing expired entries is conditional
  {
    name: 'a read deletes what it saw expired',
    source: 'Keyv dynamo and postgres: lazy delete removes the fresh value',
    rule: 'R17',
    mutate: Base =>
      class extends Base {
        protected override async _get(id: string): Promise<StoredEntry | undefined> {
          const entry = await super._get(id)
          if (expired(entry, this.now())) this.records.delete(id)
          return entry
        }
      },
  },
  {
    name: 'getMany() sweeps from a stale list',
    source: 'gofiber/storage #3126: collector deletes from a stale snapshot',
    rule: 'R17',
    mutate: Base =>
      class extends Base {
        protected override async _getMany(
          ...args: Parameters<ReferenceBackend['_getMany']>
        ): Promise<readonly (StoredEntry | undefined)[]> {
          const entries = await super._getMany(...args)
          const dead = args[0].filter((_, index) => expired(entries[index], this.now()))
          await this.travel()
          for (const id of dead) this.records.delete(id)
          return entries
        }
      },
  },
  {
    name: 'delete() of an expired entry removes a fresh one and says false',
    source: 'check, then act',
    rule: 'R17',
    mutate: Base =>
      class extends Base {
        protected override async _delete(id: string): Promise<boolean> {
          const entry = await this._get(id)
          await this.travel()
          this.records.delete(id)
          return entry !== undefined && !expired(entry, this.now())
        }
      },
  },

  // R19: add
  {
    name: 'add() looks, then sets',
    source: 'check, then act: cacheable, cache-manager',
    rule: 'R19',
    mutate: Base =>
      class extends Base {
        protected override async _add(id: string, entry: NewEntry): Promise<boolean> {
          const old = await this._get(id)
          if (old && !expired(old, this.now())) return false
          await this._set(id, entry)
          return true
        }
      },
  },
  {
    name: 'add() stores although it says false',
    source: 'upsert that reports the insert',
    rule: 'R19',
    mutate: Base =>
      class extends Base {
        protected override async _add(
          ...[id, entry, progress]: Parameters<ReferenceBackend['_add']>
        ): Promise<boolean> {
          const added = await super._add(id, entry, progress)
          if (!added) this.write(id, entry)
          return added
        }
      },
  },
  {
    name: 'add() sets the ttl although it says false',
    source: 'SETNX followed by EXPIRE',
    rule: 'R19',
    mutate: Base =>
      class extends Base {
        protected override async _add(
          ...[id, entry, progress]: Parameters<ReferenceBackend['_add']>
        ): Promise<boolean> {
          const added = await super._add(id, entry, progress)
          const record = this.look(id)
          if (entry.ttl && record) this.write(id, { ...entry, value: record.value })
          return added
        }
      },
  },
  {
    name: 'add() over an expired entry looks, then sets',
    source: 'the rare branch without a condition',
    rule: 'R19',
    mutate: Base =>
      class extends Base {
        protected override async _add(
          ...[id, entry, progress]: Parameters<ReferenceBackend['_add']>
        ): Promise<boolean> {
          if (!expired(await this._get(id), this.now())) return super._add(id, entry, progress)
          await this._set(id, entry)
          return true
        }
      },
  },

  // R20: compareAndSet, compareAndDelete
  {
    name: 'compareAndSet() looks, then sets',
    source: 'check, then act',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndSet(id: string, expected: Uint8Array, entry: NewEntry): Promise<boolean> {
          const old = await this._get(id)
          if (!old || expired(old, this.now()) || Buffer.compare(old.value, expected) !== 0) return false
          await this._set(id, entry)
          return true
        }
      },
  },
  {
    name: 'compareAndSet() compares lengths',
    source: 'a short cut for long values',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndSet(
          ...[id, expected, entry, progress]: Parameters<ReferenceBackend['_compareAndSet']>
        ): Promise<boolean> {
          const old = this.look(id)
          const equal = old !== undefined && expected.length > 1024 && old.value.length === expected.length
          return super._compareAndSet(id, equal ? old.value : expected, entry, progress)
        }
      },
  },
  {
    name: 'compareAndDelete() compares the first 1,000 bytes',
    source: 'index prefixes',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndDelete(
          ...[id, expected, progress]: Parameters<ReferenceBackend['_compareAndDelete']>
        ): Promise<boolean> {
          const old = this.look(id)?.value
          const equal = old && Buffer.compare(old.subarray(0, 1000), expected.subarray(0, 1000)) === 0
          return super._compareAndDelete(id, equal ? old : expected, progress)
        }
      },
  },
  {
    name: 'values are compared as texts',
    source: 'String(value): all invalid UTF-8 is one character',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndSet(
          ...[id, expected, entry, progress]: Parameters<ReferenceBackend['_compareAndSet']>
        ): Promise<boolean> {
          const old = this.look(id)?.value
          return super._compareAndSet(id, old && text(old) === text(expected) ? old : expected, entry, progress)
        }
      },
  },
  {
    name: 'compareAndDelete() does not compare',
    source: 'releasing a lock that is not ours: SETNX locks with DEL',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndDelete(
          ...[id, _expected, progress]: Parameters<ReferenceBackend['_compareAndDelete']>
        ): Promise<boolean> {
          return this._delete(id, progress)
        }
      },
  },
  {
    name: 'a missing entry equals no bytes',
    source: 'null and empty are one',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndSet(
          ...[id, expected, entry, progress]: Parameters<ReferenceBackend['_compareAndSet']>
        ): Promise<boolean> {
          if (expected.length === 0 && this.look(id) === undefined) return this._swap(id, undefined, entry)
          return super._compareAndSet(id, expected, entry, progress)
        }
      },
  },
  {
    name: 'swapping a value for itself says false',
    source: 'affected rows of an UPDATE that changes nothing (MySQL)',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _compareAndSet(
          ...[id, expected, entry, progress]: Parameters<ReferenceBackend['_compareAndSet']>
        ): Promise<boolean> {
          if (Buffer.compare(expected, entry.value) === 0) return false
          return super._compareAndSet(id, expected, entry, progress)
        }
      },
  },
  {
    name: 'delete() looks, then deletes',
    source: 'two winners of one delete',
    rule: 'R20',
    mutate: Base =>
      class extends Base {
        protected override async _delete(id: string): Promise<boolean> {
          const entry = await this._get(id)
          await this.travel()
          this.records.delete(id)
          return entry !== undefined && !expired(entry, this.now())
        }
      },
  },

  // R21: increment
  {
    name: 'increment() reads, then writes',
    source: 'lost updates: Keyv-like stores, cacheable',
    rule: 'R21',
    mutate: Base =>
      class extends Base {
        protected override async _increment(id: string, by: number, deadline: Deadline): Promise<number> {
          const entry = await this._get(id)
          const live = expired(entry, this.now()) ? undefined : entry
          const { sum, bytes } = addToCounter(live?.value, by)
          await this._set(id, { value: bytes, ...(live ? { expiresAt: live.expiresAt } : deadline) })
          return sum
        }
      },
  },
  {
    name: 'increment() sets the ttl each time',
    source: 'INCR followed by EXPIRE: a rate limit that never ends',
    rule: 'R21',
    mutate: Base =>
      class extends Base {
        protected override async _increment(
          ...[id, by, deadline, progress]: Parameters<ReferenceBackend['_increment']>
        ): Promise<number> {
          const sum = await super._increment(id, by, deadline, progress)
          if (deadline.ttl) this.write(id, { value: bytes(String(sum)), ...deadline })
          return sum
        }
      },
  },
  {
    name: 'increment() takes the deadline away',
    source: 'SET after INCR; cases.md E17',
    rule: 'R21',
    mutate: Base =>
      class extends Base {
        protected override async _increment(
          ...[id, by, deadline, progress]: Parameters<ReferenceBackend['_increment']>
        ): Promise<number> {
          const isNew = this.look(id) === undefined
          const sum = await super._increment(id, by, deadline, progress)
          if (!isNew) this.write(id, { value: bytes(String(sum)) })
          return sum
        }
      },
  },
  {
    name: 'what is no number counts from 0',
    source: 'Number(value) || 0',
    rule: 'R21',
    mutate: Base => counting(Base, value => Number(value) || 0),
  },
  {
    name: '12abc counts as 12',
    source: 'parseInt',
    rule: 'R21',
    mutate: Base =>
      counting(Base, value => {
        const number = Number.parseInt(value, 10)
        if (Number.isNaN(number)) throw new CacheError({ code: 'CACHE_NOT_A_COUNTER' })
        return number
      }),
  },
  {
    name: 'a counter beyond 2^53 loses its last digits',
    source: 'cases.md group F: > 2^53',
    rule: 'R21',
    mutate: Base =>
      counting(Base, value => {
        if (!/^(?:0|-?[1-9]\d*)$/.test(value)) throw new CacheError({ code: 'CACHE_NOT_A_COUNTER' })
        return Number(value)
      }),
  },
  {
    name: 'counters stop at 0',
    source: 'memcached decr',
    rule: 'R21',
    mutate: Base =>
      class extends Base {
        protected override async _increment(
          ...[id, by, deadline, progress]: Parameters<ReferenceBackend['_increment']>
        ): Promise<number> {
          const sum = await super._increment(id, by, deadline, progress)
          if (sum >= 0) return sum
          await super._increment(id, -sum, deadline, progress)
          return 0
        }
      },
  },
  {
    name: 'a new counter is padded',
    source: 'memcached: a shorter number leaves a space',
    rule: 'R21',
    mutate: Base =>
      class extends Base {
        override async get(key: string): Promise<Uint8Array | undefined> {
          const value = await super.get(key)
          return value && /^\d$/.test(text(value)) && key === 'n' ? bytes(`${text(value)} `) : value
        }
      },
  },

  // R22: no read sees half a write
  {
    name: 'a value is written in two halves',
    source: 'chunked values: Firestore and DynamoDB work-arounds',
    rule: 'R22',
    mutate: Base =>
      class extends Base {
        protected override async _set(id: string, entry: NewEntry): Promise<void> {
          const old = this.look(id)?.value ?? new Uint8Array(0)
          const half = entry.value.length >> 1
          super.write(id, { ...entry, value: Buffer.concat([entry.value.subarray(0, half), old.subarray(half)]) })
          await this.travel()
          await this.travel()
          super.write(id, entry)
        }
      },
  },
  {
    name: 'value and deadline are written one after the other',
    source: 'SET followed by EXPIRE',
    rule: 'R22',
    mutate: Base =>
      class extends Base {
        protected override async _set(id: string, entry: NewEntry): Promise<void> {
          super.write(id, { value: entry.value })
          await this.travel()
          await this.travel()
          super.write(id, entry)
        }
      },
  },

  // R23: batches
  {
    name: 'equal keys of getMany() collapse',
    source: 'SELECT .. IN',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
          return super.getMany(Array.isArray(keys) ? [...new Set(keys)] : keys)
        }
      },
  },
  {
    name: 'getMany() answers in the order of the store',
    source: 'SELECT .. IN without a map',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
          return super.getMany(
            Array.isArray(keys) && keys.length > 3 && keys.every(key => typeof key === 'string')
              ? keys.toSorted()
              : keys,
          )
        }
      },
  },
  {
    name: 'the first of equal keys wins in setMany()',
    source: 'ON CONFLICT DO NOTHING; DynamoDB refuses duplicates',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override setMany(...[entries, options]: Parameters<ReferenceBackend['setMany']>): Promise<void> {
          return super.setMany(Array.isArray(entries) ? entries.toReversed() : entries, options)
        }
      },
  },
  {
    name: 'setMany() stores what comes before an invalid entry',
    source: 'checks while it goes; PSR-16 suite',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override async setMany(...[entries, options]: Parameters<ReferenceBackend['setMany']>): Promise<void> {
          if (!Array.isArray(entries)) return super.setMany(entries, options)
          for (const entry of entries) await super.setMany([entry], options)
        }
      },
  },
  {
    name: 'setMany() takes arrays only',
    source: 'cases.md group G: iterables',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override setMany(...[entries, options]: Parameters<ReferenceBackend['setMany']>): Promise<void> {
          return super.setMany(Array.isArray(entries) ? entries : [], options)
        }
      },
  },
  {
    name: "entries' own ttls are ignored",
    source: 'cases.md E19',
    rule: 'R23',
    mutate: Base =>
      class extends Base {
        override setMany(...[entries, options]: Parameters<ReferenceBackend['setMany']>): Promise<void> {
          if (!Array.isArray(entries) || options === undefined) return super.setMany(entries, options)
          return super.setMany(
            entries.map(([key, value]) => [key, value] as const),
            options,
          )
        }
      },
  },

  // R24: any number of keys
  {
    name: 'getMany() answers 100 keys',
    source: 'cases.md section 0: "getMany capped at 100" survives every suite',
    rule: 'R24',
    mutate: Base =>
      class extends Base {
        protected override async _getMany(
          ...[ids, progress]: Parameters<ReferenceBackend['_getMany']>
        ): Promise<readonly (StoredEntry | undefined)[]> {
          const entries = await super._getMany(ids.slice(0, 100), progress)
          return ids.map((_, index) => entries[index])
        }
      },
  },
  {
    name: 'setMany() drops what the store leaves unprocessed',
    source: 'DynamoDB UnprocessedItems: Keyv',
    rule: 'R24',
    mutate: Base =>
      class extends Base {
        protected override async _setMany(
          ...[entries, progress]: Parameters<ReferenceBackend['_setMany']>
        ): Promise<void> {
          return super._setMany(
            entries.filter((_, index) => index % 100 !== 99),
            progress,
          )
        }
      },
  },
  {
    name: 'a batch takes 2,000 keys',
    source: 'PostgreSQL 65,535 parameters, SQLite 999, DynamoDB 100',
    rule: 'R24',
    mutate: Base =>
      class extends Base {
        protected override async _getMany(
          ...[ids, progress]: Parameters<ReferenceBackend['_getMany']>
        ): Promise<readonly (StoredEntry | undefined)[]> {
          if (ids.length > 2000) throw new Error('too many parameters')
          return super._getMany(ids, progress)
        }
      },
  },
  {
    name: 'deleteMany() deletes the first 500',
    source: 'one page, not the set',
    rule: 'R24',
    mutate: Base =>
      class extends Base {
        protected override async _deleteMany(
          ...[ids, progress]: Parameters<ReferenceBackend['_deleteMany']>
        ): Promise<void> {
          return super._deleteMany(ids.slice(0, 499), progress)
        }
      },
  },
  {
    name: 'a batch has at most 4 MB',
    source: 'gRPC messages, DynamoDB pages',
    rule: 'R24',
    mutate: Base =>
      class extends Base {
        protected override async _setMany(
          ...[entries, progress]: Parameters<ReferenceBackend['_setMany']>
        ): Promise<void> {
          if (entries.reduce((sum, [, { value }]) => sum + value.length, 0) > 5e6) throw new Error('message too large')
          return super._setMany(entries, progress)
        }
      },
  },

  // R27: start
  {
    name: 'options are not checked',
    source: 'cases.md group L',
    rule: 'R27',
    mutate: Base =>
      class extends Base {
        constructor(options: BackendOptions) {
          super({
            ...options,
            timeout: typeof options.timeout === 'number' && options.timeout > 0 ? options.timeout : undefined,
          })
        }
      },
  },
  {
    name: 'a call while another one connects fails',
    source: 'cases.md group L: connect idempotent, parallel, same tick',
    rule: 'R27',
    mutate: Base =>
      class extends Base {
        #state: 'new' | 'connecting' | 'open' = 'new'
        override async increment(...args: Parameters<ReferenceBackend['increment']>): Promise<number> {
          if (this.#state === 'connecting') throw new Error('not connected')
          if (this.#state === 'new') {
            this.#state = 'connecting'
            await this.open()
            this.#state = 'open'
          }
          return super.increment(...args)
        }
      },
  },
  {
    name: 'creation by two at once fails',
    source: 'table creation races kill half of the workers at boot: CREATE TABLE IF NOT EXISTS in PostgreSQL',
    rule: 'R27',
    mutate: Base =>
      class extends Base {
        static creating: WeakSet<ReferenceStore> = new WeakSet()
        protected override async _open(): Promise<void> {
          const { creating } = this.constructor as unknown as { creating: WeakSet<ReferenceStore> }
          if (creating.has(this.store)) throw new Error('duplicate key value violates pg_type_typname_nsp_index')
          creating.add(this.store)
          await pause(1)
          creating.delete(this.store)
        }
      },
  },
  {
    name: 'the namespace option is ignored',
    source: 'bentocache, Keyv: one prefix for all',
    rule: 'R27',
    mutate: Base =>
      class extends Base {
        constructor(options: ConstructorParameters<Reference>[0] = {}) {
          super({ ...options, namespace: String(options.namespace).startsWith('kit') ? 'kit' : options.namespace })
        }
      },
  },

  // R28: end
  {
    name: 'get() works after close()',
    source: 'gofiber/storage #3126: calls after close reach a dead pool',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        override get(key: string): Promise<Uint8Array | undefined> {
          return super.get(key).catch(error => {
            if (error.code === 'CACHE_CLOSED') return undefined
            throw error
          })
        }
      },
  },
  {
    name: 'a second close() fails',
    source: 'gofiber/storage pebble: panics',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        #closed = false
        override async close(): Promise<void> {
          if (this.#closed) throw new Error('already closed')
          this.#closed = true
          return super.close()
        }
      },
  },
  {
    name: 'close() does not wait',
    source: 'disconnect drops what is queued',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        override async close(): Promise<void> {
          void super.close()
        }
      },
  },
  {
    name: 'closing a namespace closes the backend',
    source: 'views made by Object.create(this)',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        override namespace(name: string): ReturnType<ReferenceBackend['namespace']> {
          const view = super.namespace(name)
          view.close = () => this.close()
          return view
        }
      },
  },
  {
    name: 'closing one backend disconnects all',
    source: "cases.md section 0: close() kills a shared client; bentocache disconnects the caller's",
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        protected override async _close(): Promise<void> {
          this.records.clear()
        }
      },
  },
  {
    name: 'a timer outlives close()',
    source: 'bentocache prune: setInterval that is never cleared',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        protected override async _open(): Promise<void> {
          const timer = setInterval(() => {}, 1000)
          setTimeout(() => clearInterval(timer), 1600).unref() // so that the test of this mutant ends
        }
      },
  },
  {
    name: 'keys() goes on after close()',
    source: 'cases.md group I: iterator after close',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        override async *keys(): AsyncGenerator<string> {
          const keys: string[] = []
          for await (const key of super.keys()) keys.push(key)
          yield* keys
        }
      },
  },
  {
    name: 'calls while close() is under way are let through',
    source: 'abstract-level: closing is a state of its own',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        override async close(): Promise<void> {
          await pause(2)
          return super.close()
        }
      },
  },
  {
    name: 'after close() errors are those of the driver',
    source: 'abstract-level matrix: one code in every method',
    rule: 'R28',
    mutate: Base =>
      class extends Base {
        override deleteMany(keys: readonly string[]): Promise<void> {
          return super.deleteMany(keys).catch(error => {
            throw error.code === 'CACHE_CLOSED' ? new Error('Connection is closed.') : error
          })
        }
      },
  },

  // R29: idle
  {
    name: 'a sweep keeps the process alive',
    source: 'cases.md group L: timers are unref-ed',
    rule: 'R29',
    mutate: Base =>
      class extends Base {
        #timer: NodeJS.Timeout | undefined
        protected override async _open(): Promise<void> {
          this.#timer = setInterval(() => {}, 1000)
        }
        protected override async _close(): Promise<void> {
          clearInterval(this.#timer)
        }
      },
  },

  // R30: nothing crashes the process
  {
    name: 'work in the background rejects, and nobody listens',
    source: "PostgreSQL's idle client; cases.md group K: unhandled rejections",
    rule: 'R30',
    mutate: Base =>
      class extends Base {
        protected override async _clear(prefix: string): Promise<void> {
          void Promise.reject(new Error('connection terminated'))
          return super._clear(prefix, () => {})
        }
      },
  },

  // R32: the shape of errors
  {
    name: 'errors are plain ones',
    source: 'smell 14: vendor errors escape',
    rule: 'R32',
    mutate: Base =>
      class extends Base {
        override increment(...args: Parameters<ReferenceBackend['increment']>): Promise<number> {
          return super.increment(...args).catch(error => {
            throw new Error(error.message)
          })
        }
      },
  },
  {
    name: 'messages hold the key',
    source: 'cases.md group M',
    rule: 'R32',
    mutate: Base =>
      class extends Base {
        override touch(key: string, options: { readonly ttl: number | undefined }): Promise<boolean> {
          return super.touch(key, options).catch(error => {
            error.message += ` (${key})`
            throw error
          })
        }
      },
  },
  {
    name: 'errors of writes tell no outcome',
    source: 'cases.md group M',
    rule: 'R32',
    mutate: Base =>
      class extends Base {
        override add(...args: Parameters<ReferenceBackend['add']>): Promise<boolean> {
          return super.add(...args).catch(error => {
            throw new CacheError({ code: error.code, message: error.message, backend: error.backend, operation: 'add' })
          })
        }
      },
  },

  // R34: no wrong answers
  {
    name: 'answers are given to callers in the order of the calls',
    source: 'a late reply is delivered to the next caller: memcached, pipelines',
    rule: 'R34',
    mutate: Base =>
      class extends Base {
        readonly #waiting: ((entry: StoredEntry | undefined) => void)[] = []
        protected override async _get(id: string): Promise<StoredEntry | undefined> {
          return new Promise(resolve => {
            this.#waiting.push(resolve)
            void super._get(id).then(entry => this.#waiting.shift()?.(entry))
          })
        }
      },
  },
  {
    name: 'a read joins one that began earlier',
    source: 'deduplicated reads: a read after a write gets what was there before it',
    rule: 'R34',
    mutate: Base =>
      class extends Base {
        readonly #reads = new Map<string, Promise<StoredEntry | undefined>>()
        protected override _get(id: string): Promise<StoredEntry | undefined> {
          const read = this.#reads.get(id) ?? super._get(id).finally(() => this.#reads.delete(id))
          this.#reads.set(id, read)
          return read.then(entry => entry && { ...entry, value: new Uint8Array(entry.value) })
        }
      },
  },
  {
    name: 'a deleted value comes back',
    source: 'a timed-out write is resent, and lands after the delete',
    rule: 'R34',
    mutate: Base =>
      class extends Base {
        protected override async _set(id: string, entry: NewEntry): Promise<void> {
          await super._set(id, entry)
          if (Math.random() < 0.05) void pause(1).then(() => this.write(id, entry))
        }
      },
  },

  // R36: what is claimed
  {
    name: 'supports can be changed',
    source: 'level-supports: the manifest does not change',
    rule: 'R36',
    mutate: Base =>
      class extends Base {
        readonly #own = { ...super.supports }
        override get supports(): BackendSupports {
          return this.#own ?? super.supports
        }
      },
  },
  {
    name: 'keys() lists one page',
    source: 'SCAN without its cursor; gofiber/storage redis Keys',
    rule: 'R36',
    mutate: Base =>
      class extends Base {
        protected override async *_keys(prefix: string): AsyncGenerator<string> {
          let left = 1000
          for await (const id of super._keys(prefix)) if (left-- > 0) yield id
        }
      },
  },
  {
    name: 'keys() lists namespaces inside, too',
    source: 'cases.md group I: only its own namespace',
    rule: 'R36',
    mutate: Base =>
      class extends Base {
        protected override async *_keys(prefix: string): AsyncGenerator<string> {
          for await (const id of super._keys(prefix))
            yield id.startsWith(`${prefix}@inside:`) ? prefix + id.slice(prefix.length + 1) : id
        }
      },
  },
  {
    name: 'keys() is empty where it is not supported',
    source: 'unstorage, Keyv: silent no-ops',
    rule: 'R36',
    supports: { iteration: false },
    mutate: Base =>
      class extends Base {
        override async *keys(): AsyncGenerator<string> {}
      },
  },
  {
    name: "the caller's clock decides although supports says the store's",
    source: 'cases.md fault 27: clock skew',
    rule: 'R36',
    supports: { clock: 'store' },
    mutate: Base =>
      class extends Base {
        protected override write(id: string, { value, expiresAt }: NewEntry): void {
          super.write(id, { value, expiresAt })
        }
      },
  },
  {
    name: 'the clock that is given is ignored',
    source: 'Date.now() in several places: smell 8',
    rule: 'R36',
    mutate: Base =>
      class extends Base {
        constructor(options: ConstructorParameters<Reference>[0] = {}) {
          super({ ...options, now: undefined })
        }
      },
  },
  {
    name: 'the store holds 500 entries',
    source: 'caches that evict while there is room',
    rule: 'R36',
    supports: { evicts: true },
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          super.write(id, entry)
          if (this.records.size > 500) this.records.delete(this.records.keys().next().value as string)
        }
      },
  },
  {
    name: 'entries are shared in one process only, and supports says otherwise',
    source: 'static maps',
    rule: 'R36',
    mutate: Base =>
      class extends Base {
        readonly #own = new Map<string, StoredEntry>()
        protected override get records(): Map<string, StoredEntry> {
          return this.#own
        }
      },
  },

  lively('the live view knows no namespaces', 'one map for all', Base => {
    return class extends Base {
      protected override _live(prefix: string, assertOpen: () => void): LiveStore {
        return super._live(prefix.replace(/@inner:$/, ''), assertOpen)
      }
    }
  }),
  lively('the live view shows what has expired', 'expiry checked where bytes are read', Base => {
    return class extends Base {
      protected override seen(id: string): LiveEntry | StoredEntry | undefined {
        const record = this.records.get(id)
        return record && (this.lively.get(record) ?? record)
      }
    }
  }),
  lively('a live swap does not compare', 'check, then act', Base => {
    return class extends Base {
      protected override _live(prefix: string, assertOpen: () => void): LiveStore {
        const live = super._live(prefix, assertOpen)
        return { ...live, swap: (key, expected, next) => live.swap(key, expected && live.get(key), next) }
      }
    }
  }),
  lively('the live view works after close()', 'a view that outlives its store', Base => {
    return class extends Base {
      protected override _live(prefix: string): LiveStore {
        return super._live(prefix, () => {})
      }
    }
  }),

  // R40: data is data
  {
    name: 'a value that starts with $ is an expression',
    source: 'MongoDB pipelines without $literal',
    rule: 'R40',
    mutate: Base =>
      class extends Base {
        protected override write(id: string, entry: NewEntry): void {
          super.write(id, text(entry.value).startsWith('$$') ? { ...entry, value: bytes('2025-01-01') } : entry)
        }
      },
  },
  {
    name: 'a quote ends a statement',
    source: 'SQL built from strings; Dapr injection tests',
    rule: 'R40',
    mutate: Base =>
      class extends Base {
        protected override place(id: string): string {
          if (id.includes("'; DROP TABLE")) this.records.clear()
          return id
        }
      },
  },
  {
    name: 'a line end ends a command',
    source: 'memcached text protocol: flush_all in a key',
    rule: 'R40',
    mutate: Base =>
      class extends Base {
        protected override place(id: string): string {
          if (id.includes('\r\nflush_all')) this.records.clear()
          return id
        }
      },
  },
]

/** Mutants of a backend with a live view. */
function lively(name: string, source: string, mutate: (Base: typeof LiveBackend) => typeof LiveBackend): Mutant {
  return { name, source, rule: 'R36', supports: { shared: false }, mutate: () => mutate(LiveBackend) }
}

function counting(Base: Reference, parse: (value: string) => number): Reference {
  return class extends Base {
    protected override async _increment(id: string, by: number, deadline: Deadline): Promise<number> {
      await this.travel()
      const record = this.look(id)
      const live = expired(record, this.now()) ? undefined : record
      const sum = (live ? parse(text(live.value)) : 0) + by
      if (!Number.isSafeInteger(sum)) throw new CacheError({ code: 'CACHE_COUNTER_OVERFLOW' })
      this.write(id, { value: bytes(String(sum)), ...(live ? { expiresAt: live.expiresAt } : deadline) })
      await this.travel()
      return sum
    }
  }
}
