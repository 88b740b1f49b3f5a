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

  function keyOf(self: unknown, args: A): string {
    const parts = select === undefined ? args : [Reflect.apply(select, self, args)]
    return `${start}${encodeArguments(parts)})`
  }
  async function call(self: unknown, args: A, load: LoadOptions<T>): Promise<T> {
    return cache.getOrSet(keyOf(self, args), () => Reflect.apply(fn, self, args) as Awaitable<T>, {
      ...(load as LoadOptions<NoInfer<T>>),
      tags: typeof tags === 'function' ? Reflect.apply(tags, self, args) : tags,
    })
  }
  function wrapped(this: unknown, ...args: A): Promise<T> {
    return call(this, args, rest)
  }
  /** In `wrapped.refresh()` the function itself is `this`, which is nothing to run it on. */
  const selfOf = (self: unknown): unknown => (self === wrapped ? undefined : self)

  return Object.assign(wrapped, {
    key(this: unknown, ...args: A): string {
      return keyOf(selfOf(this), args)
    },
    refresh(this: unknown, ...args: A): Promise<T> {
      return call(selfOf(this), args, { ...rest, refresh: true })
    },
    async delete(this: unknown, ...args: A): Promise<boolean> {
      return cache.delete(keyOf(selfOf(this), args))
    },
  })
}
