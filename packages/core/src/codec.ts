import type { Awaitable } from './cache.ts'

/** How values become bytes and come back. The key is given so that a codec can bind the bytes to it. */
export interface Codec {
  /** Names the codec in every record: bytes of another codec are not decoded, but count as a miss. */
  readonly id: string
  encode(value: unknown, key: string): Awaitable<Uint8Array>
  decode(bytes: Uint8Array, key: string): Awaitable<unknown>
}
