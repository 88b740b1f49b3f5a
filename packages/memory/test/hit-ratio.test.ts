import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import type { LiveEntry } from '@cachekit/core'
import { InMemoryBackend } from '@cachekit/memory'

const ENTRY: LiveEntry = { value: 1, size: 1, encode: () => new Uint8Array() }
const CAPACITY = 1000

/** How many of the requests find their key, if every miss is followed by a write. */
function hits(requests: readonly string[], policy: 'lru' | 's3fifo', maxEntries = CAPACITY): number {
  const { live } = new InMemoryBackend({ policy, maxEntries })
  let count = 0
  for (const key of requests) {
    if (live.get(key) === undefined) live.set(key, ENTRY)
    else count++
  }
  return count
}

/** The hits of LRU by its definition: an array with the most recently used key at its end. */
function lruHits(requests: readonly string[], maxEntries: number): number {
  const used: string[] = []
  let count = 0
  for (const key of requests) {
    const index = used.lastIndexOf(key)
    if (index >= 0) {
      count++
      used.splice(index, 1)
    } else if (used.length === maxEntries) used.shift()
    used.push(key)
  }
  return count
}

/** The hits of S3-FIFO by its paper: arrays with the newest key at their end, and a count of uses for each stored key. */
function s3FifoHits(requests: readonly string[], maxEntries: number): number {
  const [small, main, ghosts]: [string[], string[], string[]] = [[], [], []]
  const uses = new Map<string, number>()
  const evictOne = (): void => {
    while (small.length > 0 && (small.length >= maxEntries / 10 || main.length === 0)) {
      const key = small.shift() as string
      if (uses.get(key) === 0) {
        uses.delete(key)
        ghosts.push(key)
        if (ghosts.length > 0.9 * maxEntries) ghosts.shift()
        return
      }
      uses.set(key, 0)
      main.push(key)
    }
    for (;;) {
      const key = main.shift() as string
      const count = uses.get(key) as number
      if (count === 0) {
        uses.delete(key)
        return
      }
      uses.set(key, count - 1)
      main.push(key)
    }
  }
  let count = 0
  for (const key of requests) {
    const used = uses.get(key)
    if (used !== undefined) {
      count++
      uses.set(key, Math.min(used + 1, 3))
      continue
    }
    // As in the store, what comes back is taken from the ghosts before room is made.
    const ghost = ghosts.indexOf(key)
    if (ghost >= 0) ghosts.splice(ghost, 1)
    if (uses.size === maxEntries) evictOne()
    uses.set(key, 0)
    if (ghost >= 0) main.push(key)
    else small.push(key)
  }
  return count
}

/** The requests of a recorded trace; see traces/README.md. */
function readTrace(file: string): string[] {
  const bytes = brotliDecompressSync(readFileSync(file))
  const names = new Map<number, string>()
  return Array.from({ length: bytes.length / 4 }, (_, index) => {
    const id = bytes.readInt32BE(4 * index)
    const name = names.get(id) ?? `${id}`
    names.set(id, name)
    return name
  })
}

/** Requests of which some keys get many, by a generator with a seed, with scans over keys that nobody asks for again. */
function generate(count: number): string[] {
  let seed = 20_231_023
  let scanned = 0
  const random = (): number => {
    seed = (seed * 48_271) % 0x7fffffff
    return seed / 0x7fffffff
  }
  return Array.from({ length: count }, (_, index) =>
    index % 1000 < 250 ? `scan ${scanned++}` : `${Math.floor(2000 ** random())}`,
  )
}

test.each([
  ['lru', lruHits],
  ['s3fifo', s3FifoHits],
] as const)('%s hits exactly as often as by its definition', (policy, byDefinition) => {
  const requests = generate(30_000)
  for (const maxEntries of [1, 2, 10, 95, 500]) {
    expect([maxEntries, hits(requests, policy, maxEntries)]).toEqual([maxEntries, byDefinition(requests, maxEntries)])
  }
})

test('s3fifo hits more often than lru where scans disturb', () => {
  const requests = generate(100_000)
  expect(hits(requests, 's3fifo', 200) / hits(requests, 'lru', 200)).toBeGreaterThan(1.1)
})

const traces = join(__dirname, 'traces')

// Hit ratios in per cent, as published with the traces: LRU, S3-FIFO.
test.each([
  ['web07', 50.41, 53.96],
  ['web12', 64.73, 68.77],
  ['orm-busy', 78.78, 78.74],
  ['orm-night', 67.32, 68.69],
])(
  'the trace %s has the known hit ratios',
  (name, lru, s3fifo) => {
    const requests = readTrace(join(traces, `${name}.trace.br`))
    const ratio = (policy: 'lru' | 's3fifo'): number => (100 * hits(requests, policy)) / requests.length
    expect(Math.abs(ratio('lru') - lru)).toBeLessThan(0.01)
    expect(Math.abs(ratio('s3fifo') - s3fifo)).toBeLessThan(0.15)

    const beginning = requests.slice(0, 20_000)
    expect(hits(beginning, 'lru')).toBe(lruHits(beginning, CAPACITY))
    expect(hits(beginning, 's3fifo')).toBe(s3FifoHits(beginning, CAPACITY))
  },
  60_000,
)
