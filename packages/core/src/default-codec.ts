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
    return orNotSerializable(() => {
      const form = check(0, value, true)
      return Buffer.from(form === value ? JSON.stringify(value) : `~${JSON.stringify(form)}`)
    })
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

/** What JSON can hold: the value itself, or its typed form. */
export function formOf(value: unknown): unknown {
  return orNotSerializable(() => check(0, value, true))
}

/** What `defaultCodec.decode(defaultCodec.encode(value))` gives, or throws, without the bytes in between. */
export function clone<T>(value: T): T {
  return orNotSerializable(() => {
    check(0, value, false)
    return copy(value) as T
  })
}

/** The same for a value that `clone` gave, which needs no checks. */
export function cloneAgain<T>(value: T): T {
  return copy(value) as T
}

function copy(value: unknown): unknown {
  if (!isObject(value)) return value
  if (Array.isArray(value)) {
    // Not value.slice(): an array of another realm would make one of that realm.
    const result = Array.prototype.slice.call(value)
    for (let index = 0; index < result.length; index++) {
      if (isObject(result[index])) result[index] = copy(result[index])
    }
    return result
  }
  if (isPlainObject(value)) {
    // Spreading defines properties, and setting one that exists changes only that: `__proto__` is a key like any other.
    const result = { ...value }
    for (const key of keys(result)) {
      if (isObject(result[key])) result[key] = copy(result[key])
    }
    return result
  }
  const type = valueTypes.get(typeName(value)) as ValueType
  return type.copy ? type.copy(value as never) : type.make(copy(type.take(value as never)) as never)
}

/** The key or index at each depth down to what is being checked. */
const path: (string | number)[] = []

/**
 * Refuses what the codec does not take. With `typed`, answers what JSON can hold: the value itself, or its typed form;
 * without, nothing that means anything.
 */
function check(depth: number, value: unknown, typed: boolean): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
    case 'undefined':
    case 'bigint':
      if (!typed || (Number.isFinite(value) && !Object.is(value, -0))) return value
      return typedForm(typeof value, valueTypes.get(typeof value)?.take(value as never))
    case 'object':
      return value === null ? null : checkObject(depth, value, typed)
    default:
      throw refusal(depth, `is a ${typeof value}`)
  }
}

function checkObject(depth: number, value: object, typed: boolean): unknown {
  if (depth >= MAX_DEPTH) throw refusal(depth, `is more than ${MAX_DEPTH} levels deep, or contains itself`)
  if (isPlainArray(value)) return checkArray(depth, value, typed)
  if (isPlainObject(value)) return checkPlainObject(depth, value, typed)
  const name = typeName(value)
  const type = valueTypes.get(name)
  if (!type?.is?.(value))
    throw refusal(depth, `is an instance of ${getPrototypeOf(value).constructor?.name || 'a class'}`)
  refuseSymbols(depth, value)
  if (name !== 'null' && !ArrayBuffer.isView(value)) refuseProperty(depth, keys(value)[0], name)
  if (!typed && !type.container) return value
  // At the same depth: parts are no level of the value's.
  return typedForm(name, check(depth, type.take(value as never), typed))
}

const typedForm = (name: string, parts: unknown): PlainObject => ({ [`~${name}`]: parts })

function checkArray(depth: number, value: unknown[], typed: boolean): unknown[] {
  refuseSymbols(depth, value)
  if (values(value).length !== value.length || value.includes(undefined)) {
    const names = keys(value)
    // Elements come first.
    const last = names.at(-1)
    if (String(Number(last) >>> 0) !== last || Number(last) >= value.length) refuseProperty(depth, last, 'Array')
    if (value.length - names.length > MAX_HOLES) throw refusal(depth, `is an array with more than ${MAX_HOLES} holes`)
  }
  let result = value
  for (let index = 0; index < value.length; index++) {
    path[depth] = index
    const element = value[index]
    const isHole = typed && element === undefined && !hasOwn(value, index)
    const form = isHole ? { [HOLE]: null } : check(depth + 1, element, typed)
    if (form !== element && typed) {
      if (result === value) result = [...value]
      result[index] = form
    }
  }
  return result
}

function checkPlainObject(depth: number, value: PlainObject, typed: boolean): PlainObject {
  refuseSymbols(depth, value)
  let result = value
  let escaped = false
  for (const key of keys(value)) {
    path[depth] = key
    const property = value[key]
    const form = check(depth + 1, property, typed)
    if (form !== property && typed) {
      if (result === value) result = { ...value }
      result[key] = form
    }
    escaped ||= key.startsWith('~')
  }
  return escaped && typed ? mapKeys(result, /^~/, '~~') : result
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** The value whose typed form is `node`, which it takes apart. Throws, whatever it may be, for what is not one. */
function revive(node: unknown): unknown {
  if (!isObject(node)) return node
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
  if (names.length === 1 && first.startsWith('~') && first[1] !== '~') return make(first.slice(1), result[first])
  let escaped = false
  for (const name of names) {
    result[name] = revive(result[name])
    if (name.startsWith('~')) {
      if (name[1] !== '~') throw new TypeError('A type has other keys beside it.')
      escaped = true
    }
  }
  return escaped ? mapKeys(result, /^~~/, '~') : result
}

function make(name: string, node: unknown): unknown {
  const type = valueTypes.get(name)
  const parts = revive(node)
  const value = type?.make(parts as never)
  if (type?.container ? !isObject(parts) : type?.take(value as never) !== parts) throw new TypeError('No such value.')
  return value
}

type PlainObject = Record<string, unknown>

const mapKeys = (value: PlainObject, pattern: RegExp, replacement: string): PlainObject =>
  Object.fromEntries(keys(value).map(key => [key.replace(pattern, replacement), value[key]]))

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

function refuseSymbols(depth: number, value: object): void {
  if (getOwnPropertySymbols(value).length !== 0) throw refusal(depth, 'has a symbol as a key')
}

function refuseProperty(depth: number, key: string | undefined, owner: string): void {
  if (key === undefined) return
  path[depth] = key
  throw refusal(depth + 1, `is a property of an object of type ${owner}`)
}

/** The error for what is at `depth` of the path. It names keys, but no values. */
function refusal(depth: number, reason: string, cause?: unknown): CacheError {
  let where = 'value'
  for (const key of path.slice(0, depth)) {
    where += typeof key === 'string' && /^[a-z_$][\w$]*$/i.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
  }
  if (where.length > MAX_PATH_LENGTH) where = `${where.slice(0, MAX_PATH_LENGTH)}…`
  return new CacheError({ code: 'CACHE_NOT_SERIALIZABLE', message: `Not serializable: ${where} ${reason}.`, cause })
}

function orNotSerializable<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (isCacheError(error)) throw error
    // Getters and proxies throw what they like, and no string has more than 512 MiB.
    throw refusal(0, 'cannot be read; see the cause', error)
  }
}
