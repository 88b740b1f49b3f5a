import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import type { Codec } from '../codec.ts'
import { CacheError, invalidArgument } from '../errors.ts'

export interface EncryptionKey {
  /** Names the key in every entry that it encrypted, in the clear: 1 to 255 bytes of UTF-8. */
  readonly id: string
  /** 32 random bytes, as of `crypto.randomBytes(32)`; not a passphrase. */
  readonly secret: Uint8Array
}

const ALGORITHM = 'aes-256-gcm'
const SECRET_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const TAG = { authTagLength: TAG_BYTES }

/**
 * Encrypts what another codec encodes, with AES-256-GCM (NIST SP 800-38D). The store then sees keys and lengths but no
 * values, and cannot change a value, or put it under another key, without being noticed. It can put back an older value
 * of the same key.
 *
 * The first of `keys` encrypts, all of them decrypt. To rotate, append the new key in every process, then move it to the
 * front, and remove the old one when its entries have expired. One key is good for 2^32 writes, as nonces are random
 * (SP 800-38D, section 8.3).
 *
 * `decode` rejects with `CACHE_CORRUPT_ENTRY` for bytes that were damaged, written under another key of the cache, or
 * encrypted with none of `keys`.
 * @throws `CACHE_INVALID_ARGUMENT` for no keys, a secret that is not 32 bytes, or an id that is too long or given twice.
 */
export function encrypted(codec: Codec, keys: readonly EncryptionKey[]): Codec {
  const secrets = importKeys(keys)
  const [current] = secrets
  if (current === undefined) throw invalidArgument('encrypted() needs at least one key.')
  const [currentId, currentSecret] = current
  return {
    id: `${ALGORITHM}(${codec.id})`,
    async encode(value, key) {
      const payload = await codec.encode(value, key)
      const nonce = randomBytes(NONCE_BYTES)
      const header = headerOf(currentId)
      const cipher = createCipheriv(ALGORITHM, currentSecret, nonce, TAG).setAAD(
        Buffer.concat([header, Buffer.from(key)]),
      )
      const ciphertext = cipher.update(payload)
      cipher.final()
      return Buffer.concat([header, nonce, cipher.getAuthTag(), ciphertext])
    },
    async decode(bytes, key) {
      const { header, nonce, tag, ciphertext } = split(bytes)
      const secret = secrets.get(header.toString('utf8', 1))
      if (secret === undefined) throw corrupt('encrypted with a key that this codec does not have')
      const decipher = createDecipheriv(ALGORITHM, secret, nonce, TAG).setAAD(Buffer.concat([header, Buffer.from(key)]))
      const payload = decipher.setAuthTag(tag).update(ciphertext)
      try {
        decipher.final()
      } catch {
        throw corrupt('damaged, written under another key, or encrypted with another secret')
      }
      return codec.decode(payload, key)
    },
  }
}

function importKeys(keys: readonly EncryptionKey[]): ReadonlyMap<string, KeyObject> {
  const secrets = new Map<string, KeyObject>()
  for (const { id, secret } of keys) {
    if (typeof id !== 'string' || !id.isWellFormed() || id === '' || Buffer.byteLength(id) > 255 || secrets.has(id)) {
      throw invalidArgument('The id of an encryption key must be a string of 1 to 255 bytes that no other key has.')
    }
    // Says nothing of the secret, which may be a good one in the wrong encoding.
    if (!(ArrayBuffer.isView(secret) && secret.byteLength === SECRET_BYTES)) {
      throw invalidArgument(`The secret of an encryption key must be a Uint8Array of ${SECRET_BYTES} bytes.`)
    }
    secrets.set(id, createSecretKey(secret))
  }
  return secrets
}

/** What is stored begins with the length and the bytes of the key's id; nonce, tag and ciphertext follow. */
function headerOf(id: string): Buffer {
  return Buffer.concat([Buffer.of(Buffer.byteLength(id)), Buffer.from(id)])
}

function split(bytes: Uint8Array): Record<'header' | 'nonce' | 'tag' | 'ciphertext', Buffer> {
  const nonceAt = 1 + (bytes[0] ?? 0)
  const tagAt = nonceAt + NONCE_BYTES
  const ciphertextAt = tagAt + TAG_BYTES
  if (bytes.byteLength < ciphertextAt) throw corrupt('not encrypted')
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    header: buffer.subarray(0, nonceAt),
    nonce: buffer.subarray(nonceAt, tagAt),
    tag: buffer.subarray(tagAt, ciphertextAt),
    ciphertext: buffer.subarray(ciphertextAt),
  }
}

const corrupt = (reason: string): CacheError =>
  new CacheError({ code: 'CACHE_CORRUPT_ENTRY', message: `The stored bytes are ${reason}.` })
