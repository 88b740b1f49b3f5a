import type { BackendSupports, CacheBackend } from './backend.ts'

/** What a cache asks of its backend. */
export type Store = Omit<CacheBackend, 'supports' | 'has' | 'namespace' | keyof AsyncDisposable> & {
  readonly supports: Pick<BackendSupports, 'shared'>
}

const nothing = async (): Promise<undefined> => {}
const no = async (): Promise<false> => false

/** Stores nothing: what a cache with `backend: undefined` stands on. It checks keys, times and its life cycle itself. */
export const noBackend: Store = {
  name: 'none',
  supports: { shared: false },
  get: nothing,
  getEntry: nothing,
  getMany: async keys => keys.map(() => undefined),
  set: nothing,
  setMany: nothing,
  add: async () => true,
  compareAndSet: no,
  compareAndDelete: no,
  increment: async (_key, by = 1) => by,
  touch: no,
  delete: no,
  deleteMany: nothing,
  clear: nothing,
  async *keys() {},
  open: nothing,
  close: nothing,
}
