import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { hostileKeys, hostileNames } from '../src/conformance/index.ts'
import { assertKey, childPrefix, fitId, prefixLength, rootPrefix, splitId, toId, toKey } from '../src/physical-id.ts'

const prefixOf = ([root = 'r', ...children]: readonly string[]): string =>
  children.reduce(childPrefix, rootPrefix(root))

const name = fc.oneof(
  fc.constantFrom(...hostileNames.filter(name => Buffer.byteLength(name) < 60)),
  fc.string({ unit: fc.constantFrom(...'aA@#:%x'), minLength: 1, maxLength: 6 }),
)
const key = fc.oneof(
  fc.constantFrom(...hostileKeys),
  fc.string({ unit: fc.constantFrom(...'aA@#:%x'), minLength: 1, maxLength: 6 }),
)
const path = fc.array(name, { minLength: 1, maxLength: 4 })

test('ids are readable', () => {
  expect(toId(prefixOf(['cachekit']), 'user:1')).toBe('cachekit:user:1')
  expect(toId(prefixOf(['cachekit', 'sessions']), 'abc')).toBe('cachekit:@sessions:abc')
  expect(toId(prefixOf(['cachekit']), '@sessions:abc')).toBe('cachekit:@@sessions:abc')
  expect(toId(prefixOf(['a:b', '%@#\n']), 'k')).toBe('a%3Ab:@%25%40%23%0A:k')
})

test('two places never have the same id', () => {
  fc.assert(
    fc.property(path, key, path, key, (path, key, otherPath, otherKey) => {
      const equal = JSON.stringify([path, key]) === JSON.stringify([otherPath, otherKey])
      expect(toId(prefixOf(path), key) === toId(prefixOf(otherPath), otherKey)).toBe(equal)
    }),
    { numRuns: 2000 },
  )
})

test('the key can be read from the id, in its own namespace only', () => {
  fc.assert(
    fc.property(path, key, path, (path, key, otherPath) => {
      const id = toId(prefixOf(path), key)
      expect(toKey(prefixOf(path), id)).toBe(key)
      expect(splitId(id)).toEqual({ prefix: prefixOf(path), key })
      expect(prefixLength(id)).toBe(prefixOf(path).length)
      if (JSON.stringify(path) !== JSON.stringify(otherPath)) expect(toKey(prefixOf(otherPath), id)).toBeUndefined()
    }),
    { numRuns: 2000 },
  )
})

test('a prefix is that of its own namespace and those inside, and of no other', () => {
  fc.assert(
    fc.property(path, path, key, (path, otherPath, key) => {
      const inside = path.every((name, index) => name === otherPath[index])
      expect(toId(prefixOf(otherPath), key).startsWith(prefixOf(path))).toBe(inside)
    }),
    { numRuns: 2000 },
  )
})

test('an id that is too long becomes a hash behind its prefix, which no key can be', () => {
  const prefix = prefixOf(['r', 'inner'])
  for (const long of ['x'.repeat(8192), 'é'.repeat(2000), `@${'x'.repeat(5000)}`]) {
    const id = toId(prefix, long)
    const fitted = fitId(id, 250)
    expect(fitted).toBe(`${prefix}@#${createHash('sha256').update(id).digest('base64url')}`)
    expect(toKey(prefix, fitted)).toBeUndefined()
    for (const forged of [fitted.slice(prefix.length), fitted.slice(prefix.length + 1)]) {
      expect(fitId(toId(prefix, forged), 250)).not.toBe(fitted)
    }
  }
})

test('bytes are counted, not characters', () => {
  const id = `r:${'é'.repeat(124)}`
  expect(Buffer.byteLength(id)).toBe(250)
  expect(fitId(id, 250)).toBe(id)
  expect(fitId(`${id}x`, 250)).toContain('@#')
})

test.each(['k'.repeat(8192), 'é'.repeat(4096), '\0'])('a key of up to 8 KiB is taken', key => {
  expect(() => assertKey(key)).not.toThrow()
})

test('a refused key is described but never shown', () => {
  const secret = `secret${'x'.repeat(8192)}`
  expect(() => assertKey(secret)).toThrow('not one of 8198 bytes')
  expect(() => assertKey('secret\ud800')).toThrow('not one with a lone surrogate')
  expect(() => assertKey('')).toThrow('not an empty one')
  expect(() => assertKey(5)).toThrow('not a number')
})

test('namespaces may be nested as deep as their names leave room for', () => {
  let prefix = rootPrefix('r')
  for (let depth = 0; depth < 3; depth++) prefix = childPrefix(prefix, 'n'.repeat(256))
  expect(() => childPrefix(prefix, 'n'.repeat(256))).toThrow('900 bytes')
  expect(() => childPrefix(rootPrefix('r'), 'n'.repeat(257))).toThrow('at most 256 bytes')
})
