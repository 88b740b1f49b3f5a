// How namespaces and keys become the one string under which a store keeps an entry.
//
//   id = prefix + key                 'cachekit:user:1'
//   prefix = root + ':'               'cachekit:'
//   child prefix = prefix + '@name:'  'cachekit:@sessions:'
//
// It is injective, and every descendant of a namespace shares that namespace's prefix: in names `%`, `:`, `@`, `#` and
// control characters are percent-encoded, and a key that starts with '@' gets one more. So after a prefix '@@' begins a
// key, '@#' a hash (see fitId), and any other '@' a child namespace.
import { CacheError, type CacheErrorCode, describeArgument, invalidArgument, typeOf } from './errors.ts'

const MAX_KEY_BYTES = 8192
const MAX_NAME_BYTES = 256
/** Keeps the prefix, and a hash behind it, inside the smallest key that a store orders by (DynamoDB: 1,024 bytes). */
const MAX_PREFIX_BYTES = 900

/** Throws `CACHE_INVALID_KEY` unless `key` is a non-empty well-formed string of at most 8 KiB in UTF-8. */
export function assertKey(key: unknown): asserts key is string {
  assertText('A key', key, MAX_KEY_BYTES, keyFault, 'CACHE_INVALID_KEY')
}

function keyFault(key: unknown): string {
  if (typeof key !== 'string') return typeOf(key)
  if (key === '') return 'an empty one'
  return key.isWellFormed() ? `one of ${Buffer.byteLength(key)} bytes` : 'one with a lone surrogate'
}

/** Throws unless `text` is a non-empty well-formed string of at most `maxBytes` in UTF-8. */
export function assertText(
  what: string,
  text: unknown,
  maxBytes: number,
  describe: (text: unknown) => string = describeArgument,
  code: CacheErrorCode = 'CACHE_INVALID_ARGUMENT',
): asserts text is string {
  if (typeof text === 'string' && text !== '' && text.isWellFormed()) {
    // A UTF-16 code unit is at most three bytes of UTF-8.
    if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return
  }
  throw new CacheError({
    code,
    message: `${what} must be a non-empty well-formed string of at most ${maxBytes} bytes in UTF-8, not ${describe(text)}.`,
  })
}

/** The prefix of a root namespace. */
export function rootPrefix(name: unknown): string {
  return `${encodeName(name)}:`
}

/** The prefix of the namespace `name` inside the one with the prefix `parent`. */
export function childPrefix(parent: string, name: unknown): string {
  const prefix = `${parent}@${encodeName(name)}:`
  if (Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) {
    throw invalidArgument(`Nested namespaces may take at most ${MAX_PREFIX_BYTES} bytes together.`)
  }
  return prefix
}

function encodeName(name: unknown): string {
  assertText('A namespace', name, MAX_NAME_BYTES)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is encoded here
  return name.replace(/[%:@#\u0000-\u001f\u007f-\u009f]/g, encodeURIComponent)
}

/** The id of `key` in the namespace with this prefix. */
export function toId(prefix: string, key: string): string {
  return key.charCodeAt(0) === 64 /* @ */ ? `${prefix}@${key}` : prefix + key
}

/** The key behind `id` in the namespace with this prefix; `undefined` for an id of another or of a child namespace. */
export function toKey(prefix: string, id: string): string | undefined {
  if (!id.startsWith(prefix) || id.length === prefix.length) return undefined
  const rest = id.slice(prefix.length)
  if (rest[0] !== '@') return rest
  return rest[1] === '@' ? rest.slice(1) : undefined
}

/** Where the namespace's prefix ends and the key begins in `id`. */
export function prefixLength(id: string): number {
  let end = id.indexOf(':') + 1
  while (id[end] === '@' && id[end + 1] !== '@' && id[end + 1] !== '#') end = id.indexOf(':', end) + 1
  return end
}

/** The prefix of the namespace of `id` and the key behind it, for stores that keep namespaces apart. Undoes `toId`. */
export function splitId(id: string): { readonly prefix: string; readonly key: string } {
  const length = prefixLength(id)
  const key = id.charCodeAt(length) === 64 /* @ */ ? id.slice(length + 1) : id.slice(length)
  return { prefix: id.slice(0, length), key }
}

/**
 * `id` itself if it has at most `maxBytes` bytes in UTF-8; otherwise the prefix of its namespace, `@#` and the SHA-256 of
 * the id in base64url: no user key gives such an id, and `clear` still finds it by its prefix.
 */
export function fitId(id: string, maxBytes: number): string {
  if (id.length * 3 <= maxBytes || Buffer.byteLength(id) <= maxBytes) return id
  return `${id.slice(0, prefixLength(id))}@#${process.getBuiltinModule('node:crypto').hash('sha256', id, 'base64url')}`
}
