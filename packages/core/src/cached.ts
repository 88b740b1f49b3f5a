import type { Cache, WrapOptions, Wrapped } from './cache.ts'
import { type CacheError, invalidArgument } from './errors.ts'

/** As for `Cache.wrap`, but `name` has a default, and `key` and `tags` get the instance as their `this`. */
export type CachedOptions<A extends readonly unknown[], T> = Omit<WrapOptions<A, T>, 'name' | 'key' | 'tags'> & {
  /**
   * The first part of every key. Two methods with one name share their entries: say it where two classes have one name, or
   * names are shortened when the code is bundled. Default: the names of class and method, `'Class.method'`.
   */
  readonly name?: string | undefined
  /** What of the arguments makes the key. Default: all of them. */
  readonly key?: ((...args: A) => unknown) | undefined
  /** The tags, or a function of the arguments that gives them. */
  readonly tags?: readonly string[] | ((...args: A) => readonly string[]) | undefined
}

/** A method that `cached` can decorate: one that returns a promise, and takes what `key` and `tags` take. */
// biome-ignore lint/suspicious/noExplicitAny: a method may take more than `key` and `tags` do
type Method<A extends readonly unknown[], T> = (...args: [...A, ...any[]]) => Promise<T>

/** A decorator in both forms: that of the standard (TypeScript 5), and that of `experimentalDecorators`. */
export interface CachedDecorator<A extends readonly unknown[], T> {
  // biome-ignore lint/suspicious/noExplicitAny: whatever the class is
  <M extends Method<A, T>>(method: M, context: ClassMethodDecoratorContext<any, any>): M
  <M extends Method<A, T>>(
    target: object,
    property: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): TypedPropertyDescriptor<M>
}

/**
 * Caches the results of a method: `cache.wrap` as a decorator. It runs on the instance that it is called on, but its
 * results are shared by all instances: where they depend on the instance, let `key` say so.
 *
 * ```ts
 * class Users {
 *   \@cached(cache, { ttl: '5m' })
 *   async find(id: string): Promise<User> { ... }
 * }
 * ```
 *
 * {@link cachedMethod} gives the `.key`, `.refresh` and `.delete` of a decorated method.
 *
 * @throws `CACHE_INVALID_ARGUMENT` where the class is defined, for what is no method, and where no name is given and none
 * can be known: for a private method of instances, and where another decorator has replaced the method.
 */
// biome-ignore lint/suspicious/noExplicitAny: without `key` and `tags` the method may take anything
export function cached<V, A extends readonly unknown[] = any[], T extends V = V>(
  cache: Cache<V>,
  options: CachedOptions<A, T> = {} as CachedOptions<A, T>,
): CachedDecorator<A, T> {
  type AnyMethod = (...args: A) => Promise<T>
  const wrap = (method: AnyMethod, name: string): Wrapped<A, T> =>
    cache.wrap<A, T>(method, { ...options, name: options.name ?? name } as WrapOptions<A, NoInfer<T>>)

  function decorateStandard(method: AnyMethod, context: ClassMethodDecoratorContext): AnyMethod {
    const { name, kind } = context
    if (kind !== 'method') throw invalidArgument(`cached decorates methods, not a ${kind}.`)
    if (options.name !== undefined) return wrap(method, options.name)
    if (context.private && !context.static) throw nameless(name)
    let wrapped: Wrapped<A, T> | undefined
    const decorated = deferred<A, T>(() => {
      if (wrapped === undefined) throw nameless(name)
      return wrapped
    })
    // The class has no name yet. Its static methods get it when it is defined, the others with the first instance.
    context.addInitializer(function (this: unknown) {
      wrapped ??= wrap(
        method,
        `${context.static ? (this as { readonly name: string }).name : ownerOf(this, name, decorated)}.${String(name)}`,
      )
    })
    return decorated
  }

  return ((first: object, second: unknown, descriptor?: TypedPropertyDescriptor<AnyMethod>) => {
    if (typeof second === 'object') return decorateStandard(first as AnyMethod, second as ClassMethodDecoratorContext)
    const method = descriptor?.value
    if (typeof method !== 'function') throw invalidArgument('cached decorates methods.')
    const owner = typeof first === 'function' ? first : first.constructor
    return { ...descriptor, value: wrap(method, `${owner.name}.${String(second)}`) }
  }) as CachedDecorator<A, T>
}

/**
 * The cached function of a method that {@link cached} decorates, bound to `self`, with its `.key`, `.refresh` and
 * `.delete`, which TypeScript does not see on the method: `cachedMethod(users, users.find).delete('42')`.
 *
 * @throws `CACHE_INVALID_ARGUMENT` for a method that is not cached.
 */
export function cachedMethod<A extends readonly unknown[], T>(
  self: unknown,
  method: (...args: A) => Promise<T>,
): Wrapped<A, T> {
  const { key, refresh, delete: forget } = method as Partial<Wrapped<A, T>>
  if (key === undefined || refresh === undefined || forget === undefined) {
    throw invalidArgument('This method is not decorated with cached.')
  }
  const bind =
    <R>(fn: (...args: A) => R) =>
    (...args: A): R =>
      Reflect.apply(fn, self, args)
  return Object.assign(bind(method), { key: bind(key), refresh: bind(refresh), delete: bind(forget) })
}

/** A cached function that is made later. */
function deferred<A extends readonly unknown[], T>(wrapped: () => Wrapped<A, T>): Wrapped<A, T> {
  function decorated(this: unknown, ...args: A): Promise<T> {
    return Reflect.apply(wrapped(), this, args)
  }
  const selfOf = (self: unknown): unknown => (self === decorated ? undefined : self)
  return Object.assign(decorated, {
    key(this: unknown, ...args: A): string {
      return Reflect.apply(wrapped().key, selfOf(this), args)
    },
    async refresh(this: unknown, ...args: A): Promise<T> {
      return Reflect.apply(wrapped().refresh, selfOf(this), args)
    },
    async delete(this: unknown, ...args: A): Promise<boolean> {
      return Reflect.apply(wrapped().delete, selfOf(this), args)
    },
  })
}

/** The name of the class that the method was defined in, which may be one that the object's class extends. */
function ownerOf(self: unknown, name: string | symbol, method: unknown): string {
  for (let owner = self; owner !== null; owner = Object.getPrototypeOf(owner)) {
    if (Object.getOwnPropertyDescriptor(owner, name)?.value === method) return (owner as object).constructor.name
  }
  throw nameless(name)
}

const nameless = (method: string | symbol): CacheError =>
  invalidArgument(`The class of ${String(method)} is not known: cached needs { name }, the first part of every key.`)
