import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import type { Codec } from '../codec.ts'
import { CacheError, describeArgument, invalidArgument } from '../errors.ts'

export interface CompressedOptions {
  /** Payloads of fewer bytes are not compressed. Default: 1024. */
  readonly threshold?: number | undefined
  /** The most bytes of a payload that is not compressed, so that reading takes no more memory. Default: 64 MiB. */
  readonly maxBytes?: number | undefined
}

/** The first byte that is stored says how the others are. */
const PLAIN = 0
const BROTLI = 1

/** As fast as DEFLATE by default, and a fifth smaller for JSON; higher ones are much slower for a few percent. */
const QUALITY = 4

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)

/**
 * Compresses what another codec encodes, with Brotli (RFC 7932) and off the main thread, where that makes it smaller.
 *
 * Together with `encrypted` it goes inside, `encrypted(compressed(defaultCodec), keys)`. The length of an entry then says
 * how well its value compresses: do not keep a secret in one value with text that strangers choose.
 *
 * `encode` rejects with `CACHE_VALUE_TOO_LARGE` for a payload of more than `maxBytes`, `decode` with
 * `CACHE_CORRUPT_ENTRY` for bytes that are not its own, or that would become more than `maxBytes`.
 * @throws `CACHE_INVALID_ARGUMENT` for an option that is not a number of bytes.
 */
export function compressed(codec: Codec, options: CompressedOptions = {}): Codec {
  const { threshold = 1024, maxBytes = 64 * 1024 * 1024 } = options
  for (const [name, value] of Object.entries({ threshold, maxBytes })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw invalidArgument(`${name} must be a whole number of bytes greater than 0, not ${describeArgument(value)}.`)
    }
  }
  return {
    id: `br(${codec.id})`,
    async encode(value, key) {
      const payload = await codec.encode(value, key)
      const size = payload.byteLength
      if (size > maxBytes) {
        throw new CacheError({
          code: 'CACHE_VALUE_TOO_LARGE',
          message: `The value takes ${size} bytes before compression; the limit (maxBytes) is ${maxBytes}.`,
        })
      }
      if (size >= threshold) {
        const params = { [constants.BROTLI_PARAM_QUALITY]: QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: size }
        const smaller = await compress(payload, { params })
        if (smaller.byteLength < size) return Buffer.concat([Buffer.of(BROTLI), smaller])
      }
      return Buffer.concat([Buffer.of(PLAIN), payload])
    },
    async decode(bytes, key) {
      const rest = bytes.subarray(1)
      if (bytes[0] === PLAIN && rest.byteLength <= maxBytes) return codec.decode(rest, key)
      if (bytes[0] !== BROTLI) throw corrupt()
      const payload = await decompress(rest, { maxOutputLength: maxBytes }).catch(() => Promise.reject(corrupt()))
      return codec.decode(payload, key)
    },
  }
}

const corrupt = (): CacheError =>
  new CacheError({ code: 'CACHE_CORRUPT_ENTRY', message: 'The stored bytes are not compressed ones within maxBytes.' })
