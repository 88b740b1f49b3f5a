import { Deadlines } from '../src/deadlines.ts'
import { Slot } from '../src/slot.ts'
import { Space } from '../src/space.ts'

const space = new Space('test:', new Map())

/** Whole numbers below a limit, the same ones at each run. */
function numbers(seed: number): (below: number) => number {
  return below => {
    seed = (seed * 48_271) % 0x7fffffff
    return seed % below
  }
}

test.each([
  ['far apart', 10_000],
  ['close together', 100],
])('what expires first comes first, through any mixture of calls: deadlines %s', (_, range) => {
  const random = numbers(range)
  const slots = Array.from({ length: 100 }, (_, index) => new Slot(space, `${index}`))
  const deadlines = new Deadlines()
  const expected = new Map<Slot, number>()
  let now = 0
  for (let step = 0; step < 20_000; step++) {
    const slot = slots[random(slots.length)] as Slot
    deadlines.cancel(slot)
    expected.delete(slot)
    if (random(4) > 0) {
      const at = now + random(range)
      deadlines.add(slot, at)
      expected.set(slot, at)
    }
    now += random(4)
    for (let expired = deadlines.expired(() => now); expired !== undefined; expired = deadlines.expired(() => now)) {
      expect(expected.get(expired)).toBe(Math.min(...expected.values()))
      deadlines.cancel(expired)
      expected.delete(expired)
    }
    expect(Math.min(...expected.values())).toBeGreaterThan(now)
    expect(deadlines.pending).toBe(expected.size)
  }
})

test('cancelled deadlines are never the majority for long', () => {
  const deadlines = new Deadlines()
  const slots = Array.from({ length: 100 }, (_, index) => new Slot(space, `${index}`))
  let excess = 0
  for (let count = 0; count < 100_000; count++) {
    const slot = slots[count % slots.length] as Slot
    deadlines.cancel(slot)
    deadlines.add(slot, count)
    excess = Math.max(excess, deadlines.length - 2 * deadlines.pending)
  }
  expect(excess).toBeLessThanOrEqual(64)
})
