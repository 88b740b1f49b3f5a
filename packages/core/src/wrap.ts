import { encodeArguments } from './argument-key.ts'
import type { Awaitable, Cache, LoadOptions, WrapOptions, Wrapped } from './cache.ts'
import { assertArgument, typeOf } from './errors.ts'

/** A cached function; see `Cache.wrap`. */
export function wrap<A extends readonly unknown[], T>(
  cache: Cache<T>,
  fn: (...args: A) => Awaitable<T>,
  options: WrapOptions<A, T>,
): Wrapped<A, T> {
  assertArgument(typeof fn === 'function', 'wrap takes a function (what stores under a key is getOrSet)', fn, typeOf)
  const { name, key: select, tags, ...rest } = options ?? {}
  assertArgument(typeof name === 'string' && name !== '', 'wrap needs { name }, the first part of every key', name)
  // Only the first bracket ends the name, so that no two names give one key.
  const start = `${name.replaceAll('%', '%25').replaceAll('(', '%28')}(`
  const keyOf = (...args: A): string => `${start}${encodeArguments(select === undefined ? args : [select(...args)])})`
  const call = (self: unknown, args: A, load: LoadOptions<T>): Promise<T> =>
    cache.getOrSet(keyOf(...args), () => Reflect.apply(fn, self, args) as Awaitable<T>, {
      ...(load as LoadOptions<NoInfer<T>>),
      tags: typeof tags === 'function' ? tags(...args) : tags,
    })

  const wrapped = async function (this: unknown, ...args: A): Promise<T> {
    return call(this, args, rest)
  }
  return Object.assign(wrapped, {
    key: keyOf,
    refresh: async (...args: A) => call(undefined, args, { ...rest, refresh: true }),
    delete: async (...args: A) => cache.delete(keyOf(...args)),
  })
}
