import { estimateSize } from '../src/estimate-size.ts'

test.each([
  ['a number', 1, 8, 8],
  ['undefined', undefined, 8, 8],
  ['a string', 'x'.repeat(1000), 1000, 2100],
  ['bytes', Buffer.alloc(1000), 1000, 1100],
  ['a view of a part of a buffer', new Uint8Array(1_000_000).subarray(0, 1000), 1000, 1100],
  ['an ArrayBuffer', new ArrayBuffer(1000), 1000, 1100],
  ['numbers', Array.from({ length: 1000 }, (_, n) => n), 8000, 9000],
  ['long keys', { ['k'.repeat(1000)]: 1 }, 1000, 2100],
  ['a Map', new Map([['k'.repeat(500), 'v'.repeat(500)]]), 1000, 2200],
  ['a Set', new Set(['v'.repeat(1000)]), 1000, 2100],
  ['an instance of a class', Object.assign(new (class User {})(), { name: 'x'.repeat(1000) }), 1000, 2100],
])('%s', (_, value, least, most) => {
  expect(estimateSize(value)).toBeGreaterThanOrEqual(least)
  expect(estimateSize(value)).toBeLessThanOrEqual(most)
})

test('what occurs twice, or contains itself, counts once', () => {
  const text = { text: 'x'.repeat(1000) }
  expect(estimateSize([text, text])).toBeLessThan(1200)
  const cyclic: Record<string, unknown> = { text }
  cyclic.self = cyclic
  expect(estimateSize(cyclic)).toBeLessThan(1300)
})

test('a value of any depth is measured', () => {
  let deep: unknown = 1
  for (let level = 0; level < 100_000; level++) deep = [deep]
  expect(estimateSize(deep)).toBeGreaterThan(100_000)
})
