// Jest runs modules in a context of their own, in which a look at a global costs as much as a call.
const { floor, imul } = Math

/** A seeded generator of random numbers (mulberry32): the same seed gives the same run, on every machine. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** At least 0 and less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }

  /** An integer from 0 to `end` - 1. */
  below(end: number): number {
    return floor(this.next() * end)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let index = 0; index < length; index++) bytes[index] = this.below(256)
    return bytes
  }
}

/** A seed out of another one and a name (FNV-1a), so that every case has its own numbers whatever ran before it. */
export function deriveSeed(seed: number, name: string): number {
  let hash = 0x811c9dc5 ^ seed
  for (let index = 0; index < name.length; index++) hash = imul(hash ^ name.charCodeAt(index), 0x01000193)
  return hash >>> 0
}
