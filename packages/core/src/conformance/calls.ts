import type { CacheBackend } from '../backend.ts'
import { bytes } from './sample.ts'

type Call = (backend: CacheBackend, key: string) => Promise<unknown>

/** Every method that takes a key, called with one and otherwise valid arguments. */
export const keyedCalls: Readonly<Record<string, Call>> = {
  get: (backend, key) => backend.get(key),
  getEntry: (backend, key) => backend.getEntry(key),
  getMany: (backend, key) => backend.getMany(['valid', key]),
  has: (backend, key) => backend.has(key),
  set: (backend, key) => backend.set(key, bytes('1')),
  setMany: (backend, key) =>
    backend.setMany([
      ['valid', bytes('1')],
      [key, bytes('1')],
    ]),
  add: (backend, key) => backend.add(key, bytes('1')),
  compareAndSet: (backend, key) => backend.compareAndSet(key, bytes('1'), bytes('2')),
  compareAndDelete: (backend, key) => backend.compareAndDelete(key, bytes('1')),
  increment: (backend, key) => backend.increment(key),
  touch: (backend, key) => backend.touch(key, { ttl: 1000 }),
  delete: (backend, key) => backend.delete(key),
  deleteMany: (backend, key) => backend.deleteMany(['valid', key]),
}

/** Every method that does something, called with valid arguments. */
export const allCalls: Readonly<Record<string, Call>> = {
  ...keyedCalls,
  clear: backend => backend.clear(),
  keys: backend => collectKeys(backend),
  open: backend => backend.open(),
}

/** The methods among `allCalls` that change something. */
export const writes: ReadonlySet<string> = new Set([
  ...[
    'set',
    'setMany',
    'add',
    'compareAndSet',
    'compareAndDelete',
    'increment',
    'touch',
    'delete',
    'deleteMany',
    'clear',
  ],
])

/** What `keys()` yields, as a set: while others write to the store a key may come twice. */
export async function collectKeys(backend: CacheBackend): Promise<Set<string>> {
  const keys = new Set<string>()
  for await (const key of backend.keys()) keys.add(key)
  return keys
}
