import { formOf } from './default-codec.ts'
import { CacheError } from './errors.ts'

/** Longer texts are replaced by their hash, so that keys stay readable and within every limit. */
const MAX_LENGTH = 1024

/**
 * The arguments of a call as text: stable, whatever the order of an object's properties and of the members of a `Set` or
 * `Map`, and different for different arguments: each is in the form in which the default codec would store it. Throws
 * `CACHE_INVALID_ARGUMENT` for what that codec refuses.
 */
export function encodeArguments(args: readonly unknown[]): string {
  const text = args.map(encodeArgument).join()
  return text.length <= MAX_LENGTH
    ? text
    : `#${process.getBuiltinModule('node:crypto').hash('sha256', text, 'base64url')}`
}

function encodeArgument(value: unknown, index: number): string {
  try {
    return canonical(formOf(value))
  } catch (error) {
    throw new CacheError({
      code: 'CACHE_INVALID_ARGUMENT',
      message: `argument ${index + 1} makes no cache key; say with { key } what of the arguments does. ${(error as CacheError).message}`,
      cause: error,
    })
  }
}

/** JSON with sorted keys, and with the members of sets and maps sorted by their text. */
function canonical(form: unknown): string {
  if (typeof form === 'string') return JSON.stringify(form)
  if (typeof form !== 'object' || form === null) return String(form)
  if (Array.isArray(form)) return `[${form.map(canonical)}]`
  const properties = Object.entries(form).map(([key, parts]) => {
    const text = key === '~Set' || key === '~Map' ? `[${parts.map(canonical).sort()}]` : canonical(parts)
    return `${JSON.stringify(key)}:${text}`
  })
  return `{${properties.sort()}}`
}
