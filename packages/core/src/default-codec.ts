import type { Codec } from './codec.ts'
import { CacheError, isCacheError } from './errors.ts'
import { height, typeName, type ValueType, valueTypes } from './value-types.ts'

// A value is stored as plain JSON where that gives it back exactly. Otherwise in the typed form, '~' and JSON, in which
//
//   {"~Date":1709208000000}   one key with one '~' is a value that JSON does not have,
//   [1,{"~hole":null},3]      also an element that is missing,
//   {"~~key":1}               and a key of the user's that starts with '~' has one more.

/** Deeper values are refused, and with them those that contain themselves. */
const MAX_DEPTH = 500
/** An array of no elements can have 4 billion holes. */
const MAX_HOLES = 10_000

/** A path with more characters is cut. */
const MAX_PATH_LENGTH = 100
const HOLE = '~hole'

const { getOwnPropertySymbols, getPrototypeOf, hasOwn, keys, values } = Object

/**
 * The codec of a cache that is given none. Lossless or loud: what it accepts comes back equal and of the same types.
 *
 * It takes JSON and, at any depth, `undefined`, `NaN`, `-0`, the infinities, bigints, arrays with holes, `Date`, `RegExp`
 * (`lastIndex` starts at 0 again), `URL`, `Map`, `Set`, `Buffer`, `ArrayBuffer`, `DataView`, typed arrays, and objects
 * without a prototype. Of an object it takes the enumerable properties, of a getter what it answers. An object that
 * occurs twice becomes two.
 *
 * All else is `CACHE_NOT_SERIALIZABLE` with the path of the culprit: functions, symbols, symbol keys, instances of other
 * classes and of subclasses, properties of one's own on an array or a built-in, values that are more than 500 levels
 * deep or contain themselves. Bytes that it did not write are `CACHE_CORRUPT_ENTRY`.
 */
export const defaultCodec: {
  readonly id: string
  encode(value: unknown): Uint8Array
  decode(bytes: Uint8Array): unknown
} = {
  id: 'json',
  encode(value) {
    try {
      return Buffer.from(isJson(value, 0) ? JSON.stringify(value) : `~${JSON.stringify(copy(value, 0, true))}`)
    } catch (error) {
      throw notSerializable(error)
    }
  },
  decode(bytes) {
    try {
      const text = utf8.decode(bytes)
      return text.startsWith('~') ? revive(JSON.parse(text.slice(1))) : JSON.parse(text)
    } catch {
      // Without the cause: the message of a SyntaxError quotes the value.
      throw new CacheError({ code: 'CACHE_CORRUPT_ENTRY', message: 'The stored bytes are no value of this codec.' })
    }
  },
} satisfies Codec

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What `defaultCodec.decode(defaultCodec.encode(value))` gives, or throws, without the bytes in between. */
export function clone<T>(value: T): T {
  if (typeof value === 'string') return value
  try {
    return copy(value, 0, false) as T
  } catch (error) {
    throw notSerializable(error)
  }
}

/** The same for a value that `clone` gave, which needs no checks: several times faster for many small objects. */
export function cloneAgain<T>(value: T): T {
  return copyClone(value) as T
}

function copyClone(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const result = value.slice()
    for (let index = 0; index < result.length; index++) {
      if (isObject(result[index])) result[index] = copyClone(result[index])
    }
    return result
  }
  if (getPrototypeOf(value) === Object.prototype) {
    const result: PlainObject = { ...value }
    for (const key of keys(result)) {
      if (isObject(result[key])) result[key] = copyClone(result[key])
    }
    return result
  }
  const type = valueTypes.get(typeName(value)) as ValueType
  return type.copy ? type.copy(value as never) : type.make(copyClone(type.take(value as never)))
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null

/** Whether JSON gives `value` back exactly. */
function isJson(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return isJsonNumber(value)
    case 'object':
      return value === null || isJsonObject(value, depth)
    default:
      return false
  }
}

const isJsonNumber = (value: number): boolean => Number.isFinite(value) && !Object.is(value, -0)

function isJsonObject(value: object, depth: number): boolean {
  if (depth > MAX_DEPTH || getOwnPropertySymbols(value).length !== 0) return false
  if (isPlainArray(value)) {
    // A property that is no element shows in the count, a hole as undefined.
    if (values(value).length !== value.length) return false
    for (let index = 0; index < value.length; index++) {
      if (!isJson(value[index], depth + 1)) return false
    }
    return true
  }
  if (!isPlainObject(value)) return false
  for (const key of keys(value)) {
    if (!isJson(value[key], depth + 1)) return false
  }
  return true
}

/** The key or index at each depth down to where the copy is. */
const path: (string | number)[] = []

/** A copy of `value`: in the typed form if `typed`, else as it is. Every property is read once. */
function copy(value: unknown, depth: number, typed: boolean): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return typed && !isJsonNumber(value) ? toTyped('number', value) : value
    case 'undefined':
    case 'bigint':
      return typed ? toTyped(typeof value, value) : value
    case 'object':
      return value === null ? null : copyObject(value, depth, typed)
    default:
      throw refusal(depth, `is a ${typeof value}`)
  }
}

const toTyped = (name: string, value: unknown): object => ({ [`~${name}`]: valueTypes.get(name)?.take(value as never) })

function copyObject(value: object, depth: number, typed: boolean): unknown {
  if (depth > MAX_DEPTH) throw refusal(depth, `is more than ${MAX_DEPTH} levels deep, or contains itself`)
  if (getOwnPropertySymbols(value).length !== 0) throw refusal(depth, 'has a symbol as a key')
  if (isPlainArray(value)) return copyArray(value, depth, typed)
  if (isPlainObject(value)) return copyPlainObject(value, depth, typed)
  const name = typeName(value)
  const type = valueTypes.get(name)
  if (!type?.is(value)) throw refusal(depth, `is ${describe(value)}`)
  if (name !== 'null' && !ArrayBuffer.isView(value)) {
    const [property] = keys(value)
    if (property !== undefined) throw propertyRefusal(name, property, depth)
  }
  if (!typed && type.copy !== undefined) return type.copy(value as never)
  // At the same depth: parts are no level of the value's.
  const parts = copy(type.take(value as never), depth, typed)
  return typed ? { [`~${name}`]: parts } : type.make(parts)
}

function copyArray(value: unknown[], depth: number, typed: boolean): unknown[] {
  if (values(value).length !== value.length || value.includes(undefined)) {
    const names = keys(value)
    // Elements come first.
    const last = names.at(-1)
    if (last !== undefined && (String(Number(last) >>> 0) !== last || Number(last) >= value.length)) {
      throw propertyRefusal('Array', last, depth)
    }
    if (value.length - names.length > MAX_HOLES) throw refusal(depth, `is an array with more than ${MAX_HOLES} holes`)
  }
  // Not value.slice(), which for an array of another realm makes another one of that realm.
  const result = Array.prototype.slice.call(value)
  for (let index = 0; index < result.length; index++) {
    path[depth] = index
    if (result[index] !== undefined || hasOwn(result, index)) result[index] = copy(result[index], depth + 1, typed)
    else if (typed) result[index] = { [HOLE]: null }
  }
  return result
}

function copyPlainObject(value: PlainObject, depth: number, typed: boolean): PlainObject {
  // Spreading defines properties, and assigning to one that exists sets it: `__proto__` is a key like any other.
  const result = { ...value }
  let escaped = false
  for (const key of keys(result)) {
    path[depth] = key
    result[key] = copy(result[key], depth + 1, typed)
    escaped ||= key.startsWith('~')
  }
  return typed && escaped ? mapKeys(result, escapeKey) : result
}

/** The value whose typed form is `node`, which it takes apart. Throws for what is not one. */
function revive(node: unknown): unknown {
  if (typeof node !== 'object' || node === null) return node
  if (Array.isArray(node)) {
    for (let index = 0; index < node.length; index++) {
      if (node[index]?.[HOLE] === null) delete node[index]
      else node[index] = revive(node[index])
    }
    return node
  }
  const result = node as PlainObject
  const names = keys(result)
  const [first = ''] = names
  if (names.length === 1 && first.startsWith('~') && !first.startsWith('~~')) {
    const type = valueTypes.get(first.slice(1))
    if (type === undefined) throw new TypeError('This type is not known here.')
    return type.make(revive(result[first]))
  }
  let escaped = false
  for (const name of names) {
    result[name] = revive(result[name])
    escaped ||= name.startsWith('~')
  }
  return escaped ? mapKeys(result, unescapeKey) : result
}

type PlainObject = Record<string, unknown>

const mapKeys = (value: PlainObject, map: (key: string) => string): PlainObject =>
  Object.fromEntries(keys(value).map(key => [map(key), value[key]]))

const escapeKey = (key: string): string => (key.startsWith('~') ? `~${key}` : key)

function unescapeKey(key: string): string {
  if (!key.startsWith('~')) return key
  if (!key.startsWith('~~')) throw new TypeError('A type beside other keys.')
  return key.slice(1)
}

const isPlainArray = (value: object): value is unknown[] =>
  Array.isArray(value) && (getPrototypeOf(value) === Array.prototype || height(value) === 2)

function isPlainObject(value: object): value is PlainObject {
  const prototype = getPrototypeOf(value)
  return (
    prototype === Object.prototype ||
    // That of another realm.
    (prototype !== null && getPrototypeOf(prototype) === null && hasOwn(prototype, 'isPrototypeOf'))
  )
}

function propertyRefusal(owner: string, key: string, depth: number): CacheError {
  path[depth] = key
  return refusal(depth + 1, `is a property of an object of type ${owner}`)
}

/** The error for what is at `depth` of the path. It names keys, but no values. */
function refusal(depth: number, reason: string): CacheError {
  let where = 'value'
  for (const key of path.slice(0, depth)) {
    where += typeof key === 'string' && /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
  }
  if (where.length > MAX_PATH_LENGTH) where = `${where.slice(0, MAX_PATH_LENGTH)}…`
  return new CacheError({ code: 'CACHE_NOT_SERIALIZABLE', message: `Not serializable: ${where} ${reason}.` })
}

function describe(value: object): string {
  const { name } = value.constructor ?? {}
  return typeof name === 'string' && name !== '' ? `an instance of ${name}` : 'an instance of a class'
}

/** Getters and proxies throw what they like, and a stack may have no room left. */
function notSerializable(error: unknown): unknown {
  if (isCacheError(error)) return error
  return new CacheError({
    code: 'CACHE_NOT_SERIALIZABLE',
    message: 'Not serializable: the value could not be read to its end; see the cause.',
    cause: error,
  })
}
