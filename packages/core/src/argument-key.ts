import * as types from 'node:util/types'
import { invalidArgument } from './errors.ts'
import { nodeCrypto } from './node-modules.ts'

/** Longer encodings are replaced by their hash, so that keys stay readable and within every limit. */
const MAX_LENGTH = 1024

/**
 * The arguments of a call as text: stable, whatever the order of an object's properties and of a set's members, and
 * different for different arguments. Throws `CACHE_INVALID_ARGUMENT` for what has no such form (functions, symbols, class
 * instances, cycles).
 */
export function encodeArguments(args: readonly unknown[]): string {
  const text = args.map((value, index) => encode(value, `argument ${index + 1}`, [])).join(',')
  return text.length <= MAX_LENGTH ? text : `#${nodeCrypto().hash('sha256', text, 'base64url')}`
}

function encode(value: unknown, path: string, parents: readonly object[]): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'object':
      return value === null ? 'null' : encodeObject(value, path, parents)
    default:
      throw unsuitable(path, `a ${typeof value}`)
  }
}

function encodeObject(value: object, path: string, parents: readonly object[]): string {
  if (parents.includes(value)) throw unsuitable(path, 'part of a cycle')
  const inside = [...parents, value]
  const all = (values: Iterable<unknown>): string[] =>
    Array.from(values, (item, index) => encode(item, `${path}[${index}]`, inside))
  if (Array.isArray(value)) return `[${all(value).join(',')}]`
  if (types.isDate(value)) return `Date(${value.getTime()})`
  if (types.isRegExp(value)) return `RegExp(${JSON.stringify([value.source, value.flags])})`
  if (types.isSet(value)) return `Set(${all(value).sort().join(',')})`
  if (types.isMap(value)) return `Map(${all(value).sort().join(',')})`
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    return `${Object.prototype.toString.call(value).slice(8, -1)}(${bytes.toString('base64')})`
  }
  if (Object.prototype.toString.call(value) === '[object URL]') return `URL(${JSON.stringify(String(value))})`
  if (!isPlainObject(value) || Object.getOwnPropertySymbols(value).length > 0)
    throw unsuitable(path, 'not a plain object')
  const properties = Object.entries(value).map(
    ([name, item]) => `${JSON.stringify(name)}:${encode(item, `${path}.${name}`, inside)}`,
  )
  return `{${properties.sort().join(',')}}`
}

/** A literal, of any realm: its prototype is `null` or has none itself. */
function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function unsuitable(path: string, what: string): Error {
  return invalidArgument(`${path} is ${what}, which makes no cache key; say with { key } what of the arguments does.`)
}
