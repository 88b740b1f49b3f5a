import { randomBytes } from 'node:crypto'
import { brotliCompressSync, constants } from 'node:zlib'
import { compressed, type EncryptionKey, encrypted } from '../src/codecs/index.ts'
import { CacheError, type Codec, createCache, defaultCodec, isCacheError } from '../src/index.ts'
import { SqliteStore } from './sqlite-store.ts'

/** Fails unless the promise rejects with this code; answers the message. */
async function rejection(code: string, promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    reason => reason,
  )
  if (!isCacheError(error)) throw new Error('no CacheError', { cause: error })
  expect(error.code).toBe(code)
  expect(error.cause).toBeUndefined()
  return error.message
}

const decode = async (codec: Codec, bytes: Uint8Array, key = 'k'): Promise<unknown> => codec.decode(bytes, key)

const fault = (): never => {
  throw new TypeError('a fault')
}

const bytesCodec: Codec = { id: 'bytes', encode: value => value as Uint8Array, decode: bytes => Buffer.from(bytes) }

describe('compressed', () => {
  const codec = compressed(defaultCodec)
  const text = 'to be or not to be, '.repeat(500)

  test('names the codec inside', () => {
    expect(codec.id).toBe('br(json)')
    expect(compressed(bytesCodec).id).toBe('br(bytes)')
  })

  test('makes a large value smaller, and gives it back', async () => {
    const value = { text, at: new Date(0) }
    const stored = await codec.encode(value, 'k')
    expect(stored.byteLength).toBeLessThan(text.length / 10)
    expect(await codec.decode(stored, 'k')).toEqual(value)
  })

  test('leaves a value below the threshold as it is, one byte apart', async () => {
    const stored = Buffer.from(await codec.encode('short', 'k'))
    expect(stored.toString()).toBe('\0"short"')
    expect(await codec.decode(stored, 'k')).toBe('short')
  })

  test('does not keep a compressed form that is larger', async () => {
    const noise = randomBytes(100_000)
    const stored = await compressed(bytesCodec).encode(noise, 'k')
    expect(stored.byteLength).toBe(100_001)
    expect(noise.equals((await compressed(bytesCodec).decode(stored, 'k')) as Buffer)).toBe(true)
  })

  test('reads what was written with another threshold', async () => {
    const eager = compressed(defaultCodec, { threshold: 1 })
    const lazy = compressed(defaultCodec, { threshold: 1_000_000 })
    for (const [writer, reader] of [
      [eager, lazy],
      [lazy, eager],
    ] as const) {
      expect(await reader.decode(await writer.encode(text, 'k'), 'k')).toBe(text)
    }
    expect((await eager.encode(text, 'k')).byteLength).toBeLessThan((await lazy.encode(text, 'k')).byteLength)
  })

  test('reads what the first version wrote', async () => {
    const stored = Buffer.from(
      '011b470000444f96eaf72c242dcbbe61134c4bb28b3540c9865ae77155d1745e230a2aa4061243870f',
      'hex',
    )
    expect(await codec.decode(stored, 'k')).toEqual({ words: 'to be or not to be, '.repeat(3) })
  })

  test('refuses to write what it would refuse to read', async () => {
    const small = compressed(bytesCodec, { maxBytes: 100 })
    await rejection('CACHE_VALUE_TOO_LARGE', small.encode(Buffer.alloc(101), 'k') as Promise<unknown>)
    expect(await small.decode(await small.encode(Buffer.alloc(100), 'k'), 'k')).toEqual(Buffer.alloc(100))
  })

  test('stops at maxBytes when a few bytes would become many', async () => {
    const defaultCap = 64 * 1024 * 1024
    const params = { [constants.BROTLI_PARAM_QUALITY]: 1 }
    const bomb = Buffer.concat([Buffer.of(1), brotliCompressSync(Buffer.alloc(defaultCap + 1), { params })])
    expect(bomb.byteLength).toBeLessThan(20_000)
    const kilobytes = process.resourceUsage().maxRSS
    await rejection('CACHE_CORRUPT_ENTRY', decode(compressed(bytesCodec, { maxBytes: 100_000 }), bomb))
    expect(process.resourceUsage().maxRSS - kilobytes).toBeLessThan(16_000)
    await rejection('CACHE_CORRUPT_ENTRY', decode(compressed(bytesCodec), bomb))
    expect(await decode(compressed(bytesCodec, { maxBytes: defaultCap + 1 }), bomb)).toHaveLength(defaultCap + 1)
  })

  test('bytes that are not its own are a corrupt entry', async () => {
    const stored = Buffer.from(await codec.encode(text, 'k'))
    // Only the first byte is not its own.
    await rejection('CACHE_CORRUPT_ENTRY', decode(codec, Buffer.concat([Buffer.of(2), stored.subarray(1)])))
    const foreign = ['', '"json"', '\x02"json"', '\x01', '\x01garbage', '\0{'].map(each => Buffer.from(each))
    for (let length = 0; length < stored.byteLength; length++) foreign.push(stored.subarray(0, length))
    for (const bytes of foreign) await rejection('CACHE_CORRUPT_ENTRY', decode(codec, bytes))
  })

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1024', null])('refuses %p as an option', value => {
    for (const options of [{ threshold: value }, { maxBytes: value }]) {
      expect(() => compressed(defaultCodec, options as object)).toThrow(
        expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }),
      )
    }
  })
})

describe('encrypted', () => {
  const january: EncryptionKey = { id: '2026-01', secret: Buffer.alloc(32, 1) }
  const february: EncryptionKey = { id: '2026-02', secret: Buffer.alloc(32, 2) }
  const codec = encrypted(defaultCodec, [january])
  const value = { name: 'Ada', at: new Date(0) }

  test('names the codec inside', () => {
    expect(codec.id).toBe('aes-256-gcm(json)')
  })

  test('gives the value back, and stores neither it nor the same bytes twice', async () => {
    const stored = Buffer.from(await codec.encode(value, 'k'))
    expect(await codec.decode(stored, 'k')).toEqual(value)
    expect(stored.includes('Ada')).toBe(false)
    expect(stored.equals(Buffer.from(await codec.encode(value, 'k')))).toBe(false)
  })

  test('reads what the first version wrote', async () => {
    const stored = Buffer.from(
      '07323032362d3031' + // the id of the key
        '0358ff55667c40bbd75920f2' + // nonce
        '68236b5e7b1d7e1af962aa6737496c96' + // tag
        '7c0d4f9a522714e7724865cf04d6',
      'hex',
    )
    expect(await codec.decode(stored, 'user:1')).toEqual({ name: 'Ada' })
  })

  test('a value under another key of the cache is a corrupt entry', async () => {
    const stored = await codec.encode(value, 'user:1')
    await rejection('CACHE_CORRUPT_ENTRY', decode(codec, stored, 'user:2'))
    await rejection('CACHE_CORRUPT_ENTRY', decode(codec, stored, ''))
  })

  test('any one flipped bit, and any length cut off, is a corrupt entry', async () => {
    const stored = await codec.encode('x', 'k')
    for (let bit = 0; bit < stored.byteLength * 8; bit++) {
      const bytes = Uint8Array.from(stored)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await rejection('CACHE_CORRUPT_ENTRY', decode(codec, bytes))
    }
    for (let length = 0; length < stored.byteLength; length++) {
      await rejection('CACHE_CORRUPT_ENTRY', decode(codec, stored.subarray(0, length)))
    }
  })

  test('keys rotate: the first encrypts, all decrypt', async () => {
    const old = await codec.encode(value, 'k')
    const appended = encrypted(defaultCodec, [january, february])
    const moved = encrypted(defaultCodec, [february, january])
    const removed = encrypted(defaultCodec, [february])
    expect(await appended.decode(old, 'k')).toEqual(value)
    expect(await codec.decode(await appended.encode(value, 'k'), 'k')).toEqual(value)
    expect(await moved.decode(old, 'k')).toEqual(value)
    const renewed = await moved.encode(value, 'k')
    expect(await removed.decode(renewed, 'k')).toEqual(value)
    await rejection('CACHE_CORRUPT_ENTRY', decode(removed, old))
    await rejection('CACHE_CORRUPT_ENTRY', decode(codec, renewed))
  })

  test('a secret that changed under the same id is a corrupt entry', async () => {
    const other = encrypted(defaultCodec, [{ ...january, secret: february.secret }])
    await rejection('CACHE_CORRUPT_ENTRY', decode(other, await codec.encode(value, 'k')))
  })

  test('a secret that the caller overwrites afterwards stays as it was', async () => {
    const secret = Buffer.from(january.secret)
    const own = encrypted(defaultCodec, [{ id: '2026-01', secret }])
    secret.fill(0)
    expect(await codec.decode(await own.encode(value, 'k'), 'k')).toEqual(value)
  })

  const hunter = 'hunter2-hunter2-hunter2-hunter2-'
  test.each([
    ['no keys', []],
    ['a secret of 31 bytes', [{ id: 'a', secret: Buffer.from(hunter).subarray(1) }]],
    ['a secret of 33 bytes', [{ id: 'a', secret: Buffer.from(`${hunter}!`) }]],
    ['a secret that is text', [{ id: 'a', secret: hunter }]],
    ['no secret', [{ id: 'a' }]],
    ['an empty id', [{ id: '', secret: Buffer.from(hunter) }]],
    ['a long id', [{ id: 'é'.repeat(128), secret: Buffer.from(hunter) }]],
    ['an id with a lone surrogate', [{ id: '\ud800', secret: Buffer.from(hunter) }]],
    ['an id that is a number', [{ id: 1, secret: Buffer.from(hunter) }]],
    ['an id given twice', [january, february, { ...january }]],
  ])('refuses %s, and says nothing of secrets', (_, keys) => {
    const refused = (): Codec => encrypted(defaultCodec, keys as EncryptionKey[])
    expect(refused).toThrow(expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' }))
    expect(refused).not.toThrow(/hunter/)
  })

  test('takes an id of 255 bytes', async () => {
    const long = encrypted(defaultCodec, [{ id: 'x'.repeat(255), secret: january.secret }])
    expect(await long.decode(await long.encode(value, 'k'), 'k')).toEqual(value)
  })
})

describe('codecs compose', () => {
  const keys = [{ id: 'k1', secret: Buffer.alloc(32, 7) }]

  test('in a cache: the store holds neither text nor values, and integers are not left out', async () => {
    const store = new SqliteStore()
    const codec = encrypted(compressed(defaultCodec), keys)
    const cache = createCache({ backend: store.backend(), codec })
    const value = new Map([['secret', 'confidential '.repeat(1000)]])
    await cache.set('a', value)
    await cache.set('n', 123456789)
    expect(await cache.get('a')).toEqual(value)
    expect(await cache.get('n')).toBe(123456789)
    const stored = Buffer.concat([...store.rows().values()])
    expect(stored.byteLength).toBeLessThan(1000)
    expect(stored.includes('aes-256-gcm(br(json))')).toBe(true)
    expect(stored.includes('123456789')).toBe(false)

    // A cache without the keys, or with another codec, has a miss.
    expect(await createCache({ backend: store.backend() }).get('a')).toBeUndefined()
    expect(await createCache({ backend: store.backend(), codec: compressed(defaultCodec) }).get('a')).toBeUndefined()
    await cache.close()
  })

  test('with a codec of the user', async () => {
    const upper: Codec = {
      id: 'upper',
      encode: value => Buffer.from(String(value).toUpperCase()),
      decode: bytes => Buffer.from(bytes).toString(),
    }
    const codec = encrypted(compressed(upper, { threshold: 1 }), keys)
    expect(codec.id).toBe('aes-256-gcm(br(upper))')
    expect(await codec.decode(await codec.encode('a'.repeat(100), 'k'), 'k')).toBe('A'.repeat(100))
  })

  test.each([
    ['at once', () => fault()],
    ['by a promise', async () => fault()],
  ])('a fault of a codec that throws %s is no miss: the call rejects, and nothing is loaded', async (_, decode) => {
    const store = new SqliteStore()
    const codec: Codec = { id: 'faulty', encode: () => Buffer.from('1'), decode }
    const cache = createCache({ backend: store.backend(), codec })
    await cache.set('k', 1)
    const load = jest.fn(() => 2)
    for (const call of [cache.get('k'), cache.getMany(['k']), cache.getOrSet('k', load)]) {
      await expect(call).rejects.toThrow('a fault')
    }
    expect(load).not.toHaveBeenCalled()
    await cache.close()
  })

  test('what a codec calls corrupt is a miss, and is loaded', async () => {
    const store = new SqliteStore()
    const decode = (): never => {
      throw new CacheError({ code: 'CACHE_CORRUPT_ENTRY', message: 'foreign' })
    }
    const cache = createCache({ backend: store.backend(), codec: { id: 'v1', encode: () => Buffer.from('1'), decode } })
    await cache.set('k', 1)
    expect(await cache.get('k')).toBeUndefined()
    const load = jest.fn(() => 2)
    await cache.getOrSet('k', load).catch(() => {})
    expect(load).toHaveBeenCalledTimes(1)
    await cache.close()
  })

  test('what the codec inside refuses is refused', async () => {
    const codec = encrypted(compressed(defaultCodec), keys)
    const encode = async (): Promise<unknown> => codec.encode({ f: () => 1 }, 'k')
    expect(await rejection('CACHE_NOT_SERIALIZABLE', encode())).toMatch(/value\.f is a function/)
  })
})
