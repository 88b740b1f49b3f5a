import { types } from 'node:util'

/**
 * A type of values that JSON does not have. `take` makes a value into something simpler, and `make` makes that into the
 * value again. Encoding takes, decoding makes, cloning does both: so all three agree on what comes back.
 */
export interface ValueType {
  /** Whether an object is one, and no instance of a subclass. */
  is(value: object): boolean
  /** Gives JSON, or values that are taken apart in turn. */
  take(value: never): unknown
  /** Throws, whatever it may be, for parts that `take` does not give. */
  make(parts: unknown): unknown
  /** The same as `make(take(value))` at less cost. */
  readonly copy?: (value: never) => unknown
}

const { getOwnPropertyDescriptor, getPrototypeOf, hasOwn } = Object

/**
 * How many prototypes an object has. Together with its internal slots that tells a built-in from an instance of a
 * subclass, also for objects of another realm (Jest, `vm`), where `instanceof` and `constructor ===` fail.
 */
export function height(value: object): number {
  let count = 0
  for (let next = getPrototypeOf(value); next !== null; next = getPrototypeOf(next)) count++
  return count
}

function check(condition: boolean): asserts condition {
  if (!condition) throw new TypeError('No value has these parts.')
}

function string(parts: unknown): string {
  check(typeof parts === 'string')
  return parts
}

function array(parts: unknown): unknown[] {
  check(Array.isArray(parts))
  return parts
}

type Take = (value: never) => unknown
type Make = (parts: unknown) => unknown

/** Primitives are found by their name only. */
const primitive = (take: Take, make: Make): ValueType => ({ is: () => false, take, make })

const object = (isBuiltIn: (value: object) => boolean, take: Take, make: Make): ValueType => ({
  is: value => isBuiltIn(value) && height(value) === 2,
  take,
  make,
})

/** A type made of bytes: base64, with the elements of typed arrays in the byte order of the processor (little-endian). */
function binary(is: (value: object) => boolean, wrap: (bytes: ArrayBuffer) => unknown): ValueType {
  const bytesOf = (value: ArrayBufferView | ArrayBuffer): Buffer =>
    ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value)
  // Small buffers are slices of one pool, and views may share a buffer; each value that is made has one of its own.
  const own = (bytes: Buffer): unknown => wrap(new Uint8Array(bytes).buffer)
  return {
    is,
    take: (value: ArrayBufferView) => bytesOf(value).toString('base64'),
    make: parts => {
      const bytes = Buffer.from(string(parts), 'base64')
      // Buffer.from() skips what is not base64.
      check(bytes.toString('base64') === parts)
      return own(bytes)
    },
    copy: (value: ArrayBufferView) => own(bytesOf(value)),
  }
}

const hrefOf = getOwnPropertyDescriptor(URL.prototype, 'href')?.get as (this: unknown) => string

function isUrl(value: object): boolean {
  try {
    hrefOf.call(value)
    return true
  } catch {
    return false
  }
}

/**
 * The types by the name that stored values give them: that of the class for objects, and of `typeof` for primitives. A
 * name keeps its meaning for ever. One may be added: to a reader that does not know it, the value is a miss.
 */
export const valueTypes: ReadonlyMap<string, ValueType> = new Map(
  Object.entries<ValueType>({
    undefined: primitive(
      () => null,
      parts => {
        check(parts === null)
      },
    ),
    // The numbers that JSON does not have.
    number: primitive(
      (value: number) => (value === 0 ? '-0' : String(value)),
      parts => {
        check(/^(NaN|-0|-?Infinity)$/.test(string(parts)))
        return Number(parts)
      },
    ),
    bigint: primitive(String, parts => {
      const value = BigInt(string(parts))
      check(String(value) === parts)
      return value
    }),
    Date: {
      // The dates of fake timers (Jest, Sinon) are of a subclass, but say `constructor: Date`.
      is: value => types.isDate(value) && (height(value) === 2 || hasOwn(value, 'constructor')),
      // Milliseconds, not ISO 8601: writing and reading that takes ten times as long as all the rest.
      take: (value: Date) => (Number.isNaN(value.getTime()) ? null : value.getTime()),
      make: parts => {
        const date = new Date((parts ?? Number.NaN) as number)
        check(parts === null || date.getTime() === parts)
        return date
      },
    },
    RegExp: object(
      types.isRegExp,
      (value: RegExp) => [value.source, value.flags],
      parts => {
        const [source, flags] = array(parts)
        return new RegExp(string(source), string(flags))
      },
    ),
    URL: object(
      isUrl,
      (value: URL) => value.href,
      parts => new URL(string(parts)),
    ),
    Map: object(
      types.isMap,
      (value: Map<unknown, unknown>) => [...value],
      parts => new Map(array(parts).map(entry => array(entry) as [unknown, unknown])),
    ),
    Set: object(
      types.isSet,
      (value: Set<unknown>) => [...value],
      parts => new Set(array(parts)),
    ),
    // An object without a prototype.
    null: {
      is: value => height(value) === 0,
      take: (value: object) => ({ ...value }),
      make: parts => {
        check(typeof parts === 'object' && parts !== null && height(parts) === 1)
        return Object.assign(Object.create(null), parts)
      },
    },
    Buffer: binary(
      value => Buffer.isBuffer(value) && height(value) === 4,
      bytes => Buffer.from(bytes),
    ),
    ArrayBuffer: binary(
      value => types.isArrayBuffer(value) && height(value) === 2,
      bytes => bytes,
    ),
    DataView: binary(
      value => types.isDataView(value) && height(value) === 2,
      bytes => new DataView(bytes),
    ),
    ...Object.fromEntries(
      [
        'Int8Array',
        'Uint8Array',
        'Uint8ClampedArray',
        'Int16Array',
        'Uint16Array',
        'Int32Array',
        'Uint32Array',
        'Float16Array', // not in Node.js 22, where such a value is a miss
        'Float32Array',
        'Float64Array',
        'BigInt64Array',
        'BigUint64Array',
      ].map(name => [
        name,
        binary(
          value => types.isTypedArray(value) && height(value) === 3,
          bytes => new (Reflect.get(globalThis, name) as typeof Uint8Array)(bytes),
        ),
      ]),
    ),
  }),
)

/** The name of the type that an object has, if it has one of these. */
export function typeName(value: object): string {
  if (getPrototypeOf(value) === null) return 'null'
  return Buffer.isBuffer(value) ? 'Buffer' : Object.prototype.toString.call(value).slice(8, -1)
}
