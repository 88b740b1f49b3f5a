import * as types from 'node:util/types'

/**
 * A type of values that JSON does not have. `take` makes a value into something simpler, and `make` makes that into the
 * value again. Encoding takes, decoding makes, cloning does both: so all three agree on what comes back.
 */
export interface ValueType {
  /** Whether an object is one, and no instance of a subclass. */
  readonly is?: (value: object) => boolean
  /** Gives a string, number or `null` that no other value of the type gives, or else, for a container, what is in it. */
  take(value: never): unknown
  /** May throw anything for parts that `take` does not give. */
  make(parts: never): unknown
  /** Whether the parts are values that are taken apart in turn. */
  readonly container?: boolean
  /** The same as `make(take(value))` at less cost. */
  readonly copy?: (value: never) => unknown
}

const { getPrototypeOf, hasOwn } = Object

/**
 * How many prototypes an object has. Together with its internal slots that tells a built-in from an instance of a
 * subclass, also for objects of another realm (Jest, `vm`), where `instanceof` and `constructor ===` fail.
 */
export function height(value: object): number {
  let count = 0
  for (let next = getPrototypeOf(value); next !== null; next = getPrototypeOf(next)) count++
  return count
}

const isBuiltIn =
  (hasSlots: (value: object) => boolean, prototypes = 2) =>
  (value: object): boolean =>
    hasSlots(value) && height(value) === prototypes

/** A type made of bytes: base64, with the elements of typed arrays in the byte order of the processor (little-endian). */
function binary(is: (value: object) => boolean, wrap: (bytes: ArrayBuffer) => unknown): ValueType {
  const bytesOf = (value: ArrayBufferView | ArrayBuffer): Buffer =>
    ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value)
  // Small buffers are slices of one pool, and views may share a buffer; each value that is made has one of its own.
  const own = (bytes: Buffer): unknown => wrap(new Uint8Array(bytes).buffer)
  return {
    is,
    take: (value: ArrayBufferView) => bytesOf(value).toString('base64'),
    make: (base64: string) => own(Buffer.from(base64, 'base64')),
    copy: (value: ArrayBufferView) => own(bytesOf(value)),
  }
}

const typedArray = (name: string): ValueType =>
  binary(isBuiltIn(types.isTypedArray, 3), bytes => new (Reflect.get(globalThis, name) as typeof Uint8Array)(bytes))

/**
 * The types by the name that stored values give them: that of the class for objects, and of `typeof` for primitives. A
 * name keeps its meaning for ever. One may be added: to a reader that does not know it, the value is a miss.
 */
export const valueTypes: ReadonlyMap<string, ValueType> = new Map(
  Object.entries<ValueType>({
    undefined: { take: () => null, make: () => undefined },
    // The numbers that JSON does not have.
    number: { take: (value: number) => (value === 0 ? '-0' : String(value)), make: Number },
    bigint: { take: String, make: BigInt },
    Date: {
      // The dates of fake timers (Jest, Sinon) are of a subclass, but say `constructor: Date`.
      is: value => types.isDate(value) && (height(value) === 2 || hasOwn(value, 'constructor')),
      // Milliseconds: to write and read ISO 8601 takes ten times as long as all the rest.
      take: (value: Date) => (Number.isNaN(value.getTime()) ? null : value.getTime()),
      make: (time: number | null) => new Date(time ?? Number.NaN),
    },
    RegExp: {
      is: isBuiltIn(types.isRegExp),
      take: String,
      make: (literal: string) => {
        const end = literal.lastIndexOf('/')
        return new RegExp(literal.slice(1, end), literal.slice(end + 1))
      },
    },
    URL: { is: isBuiltIn(value => value instanceof URL), take: String, make: (href: string) => new URL(href) },
    Map: {
      is: isBuiltIn(types.isMap),
      take: (value: Map<unknown, unknown>) => [...value],
      make: (entries: [unknown, unknown][]) => new Map(entries),
      container: true,
    },
    Set: {
      is: isBuiltIn(types.isSet),
      take: (value: Set<unknown>) => [...value],
      make: (elements: unknown[]) => new Set(elements),
      container: true,
    },
    // An object without a prototype.
    null: {
      is: isBuiltIn(() => true, 0),
      take: (value: object) => ({ ...value }),
      make: (properties: object) => Object.assign(Object.create(null), properties),
      container: true,
    },
    Buffer: binary(isBuiltIn(Buffer.isBuffer, 4), bytes => Buffer.from(bytes)),
    ArrayBuffer: binary(isBuiltIn(types.isArrayBuffer), bytes => bytes),
    DataView: binary(isBuiltIn(types.isDataView), bytes => new DataView(bytes)),
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
      ].map(name => [name, typedArray(name)]),
    ),
  }),
)

/** The name of the type that an object has, if it is one of these types. */
export function typeName(value: object): string {
  if (height(value) === 0) return 'null'
  return Buffer.isBuffer(value) ? 'Buffer' : Object.prototype.toString.call(value).slice(8, -1)
}
