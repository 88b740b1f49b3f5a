// The kit's own assertions. Runners' ones are not to be had here, and `node:assert` takes equal values from two realms
// (Jest runs test files in one of their own) for unequal.
import { types } from 'node:util'
import { type CacheError, type CacheErrorCode, isCacheError } from '../errors.ts'

/** Ends a case: the backend broke the rule. */
export function fail(reason: string): never {
  throw new Error(reason)
}

export function check(holds: boolean, reason: string): asserts holds {
  if (!holds) fail(reason)
}

/** `actual` is `expected`: the same primitive, the same bytes, or an array of these. */
export function checkEqual(actual: unknown, expected: unknown, subject: string): void {
  if (same(actual, expected)) return
  if (Array.isArray(actual) && Array.isArray(expected) && actual.length === expected.length && actual.length > 8) {
    const index = expected.findIndex((item, index) => !same(actual[index], item))
    checkEqual(actual[index], expected[index], `${subject}, place ${index} of ${expected.length}`)
  }
  fail(`${subject}: expected ${describe(expected)}, got ${describe(actual)}`)
}

/** Rejects, not throws, with a `CacheError` of this code; answers the error. */
export async function checkRejects(
  call: () => unknown,
  code: CacheErrorCode,
  subject: string,
  settled: { value?: unknown } = {},
): Promise<CacheError> {
  let promise: unknown
  try {
    promise = call()
  } catch (error) {
    fail(`${subject}: threw ${describe(error)} instead of rejecting`)
  }
  const error = await failureOf(() => promise, settled)
  if (error === undefined) fail(`${subject}: expected a rejection with ${code}, got ${describe(settled.value)}`)
  if (!isCacheError(error, code)) fail(`${subject}: expected a CacheError ${code}, got ${describe(error)}`)
  return error
}

/** Throws, or rejects, with a `CacheError` of this code; answers the error. For what may be asynchronous or not. */
export async function checkFails(call: () => unknown, code: CacheErrorCode, subject: string): Promise<CacheError> {
  const settled: { value?: unknown } = {}
  const error = await failureOf(call, settled)
  if (error === undefined) fail(`${subject}: expected ${code}, got ${describe(settled.value)}`)
  if (!isCacheError(error, code)) fail(`${subject}: expected a CacheError ${code}, got ${describe(error)}`)
  return error
}

async function failureOf(call: () => unknown, settled: { value?: unknown }): Promise<unknown> {
  try {
    settled.value = await call()
    return undefined
  } catch (error) {
    return error ?? new Error(`a rejection with ${String(error)}`)
  }
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
}

function same(a: unknown, b: unknown): boolean {
  if (types.isUint8Array(a) && types.isUint8Array(b)) return equalBytes(a, b)
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => same(item, b[index]))
  return Object.is(a, b)
}

/** A value as it appears in the reason of a failure. */
export function describe(value: unknown): string {
  if (types.isUint8Array(value)) return describeBytes(value)
  if (isCacheError(value)) {
    return `${value.code} (${value.message}${value.cause === undefined ? '' : `: ${describe(value.cause)}`})`
  }
  if (types.isNativeError(value)) return `${value.name}: ${value.message}`
  if (typeof value === 'string') return describeText(value)
  if (Array.isArray(value)) {
    const items = value.slice(0, 8).map(describe).join(', ')
    return value.length > 8 ? `[${items}, … ${value.length} items]` : `[${items}]`
  }
  return typeof value === 'object' && value !== null ? `an object ${safeJson(value)}` : String(value)
}

function describeBytes(bytes: Uint8Array): string {
  const start = bytes.subarray(0, 24)
  const text = Buffer.from(start).toString('latin1')
  const shown = /^[ -~]*$/.test(text) ? JSON.stringify(text) : Buffer.from(start).toString('hex')
  return `${bytes.byteLength} bytes ${shown}${bytes.byteLength > 24 ? '…' : ''}`
}

function describeText(text: string): string {
  return text.length <= 60 ? JSON.stringify(text) : `${JSON.stringify(text.slice(0, 50))}… (${text.length} characters)`
}

function safeJson(value: object): string {
  try {
    return JSON.stringify(value).slice(0, 120)
  } catch {
    return 'that JSON does not take'
  }
}
