import { setImmediate } from 'node:timers/promises'
import { ALWAYS, Clock, UNIT } from '../src/clock.ts'
import { InMemoryBackend } from '../src/index.ts'

/** A clock in the middle of a burst, and when that began. */
function burst(): { clock: Clock; began: number } {
  const clock = new Clock(Date.now)
  let began = Date.now()
  for (let calls = 0; calls < 100_000 && clock.soon === ALWAYS; calls++) began = clock.now()
  return { clock, began }
}

test('without a burst the clock is read for every hit', () => {
  const clock = new Clock(Date.now)
  for (let hit = 0; hit < 10; hit++) {
    expect(clock.soon).toBe(ALWAYS)
    clock.now()
  }
})

test('in a burst what has ten seconds left needs no reading, and what has less does', () => {
  const { clock, began } = burst()
  const soon = clock.soon * UNIT
  expect(soon).toBeGreaterThanOrEqual(began + 10_000)
  expect(soon).toBeLessThan(began + 10_000 + UNIT)
})

test('a burst ends with the turn of the event loop', async () => {
  const { clock } = burst()
  expect(clock.soon).toBeLessThan(ALWAYS)
  await setImmediate()
  expect(clock.soon).toBe(ALWAYS)
})

test('also in a burst one hit in a thousand reads the clock', () => {
  const { clock } = burst()
  let unread = 0
  while (clock.soon !== ALWAYS && unread < 2000) unread++
  expect(unread).toBeLessThanOrEqual(1000)
  expect(unread).toBeGreaterThan(900)
  clock.now()
  expect(clock.soon).toBeLessThan(ALWAYS)
})

test('a clock that may jump is read for every hit', () => {
  const clock = new Clock(() => 1_800_000_000_000)
  for (let hit = 0; hit < 100; hit++) {
    clock.now()
    expect(clock.soon).toBe(ALWAYS)
  }
  const spy = jest.spyOn(Date, 'now').mockReturnValue(1_800_000_000_000)
  try {
    const replaced = new Clock(Date.now)
    for (let hit = 0; hit < 100; hit++) replaced.now()
    expect(replaced.soon).toBe(ALWAYS)
  } finally {
    spy.mockRestore()
  }
})

test('an entry that ends in the middle of a burst is gone to the millisecond', () => {
  const { live } = new InMemoryBackend({ sweep: false })
  const now = Date.now()
  const entry = { value: 1, size: 1, encode: () => new Uint8Array() }
  live.set('long', { ...entry, expiresAt: now + 60_000 })
  live.set('short', { ...entry, expiresAt: now + 30 })
  let hits = 0
  for (; Date.now() < now + 29; hits++) live.get('long')
  for (; Date.now() < now + 30; hits++) live.get('long')
  expect(live.get('short')).toBeUndefined()
  expect(live.get('long')).toBeDefined()
  expect(hits).toBeGreaterThan(1000)
})
