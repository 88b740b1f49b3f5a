import { extname } from 'node:path'

/**
 * How CacheKit's cache encodes a value, for bare drivers that are to do the same work. The record format is no public
 * API, so its module is taken from beside core's entry file.
 */
export async function defaultRecords(): Promise<{
  encode(value: unknown): Buffer
  decode(bytes: Uint8Array): unknown
}> {
  const { defaultCodec } = await import('@cachekit/core')
  const entry = import.meta.resolve('@cachekit/core')
  const { decodeRecord, encodeRecord, newId }: typeof import('../../../packages/core/src/record.ts') = await import(
    new URL(`./record${extname(entry)}`, entry).href
  )
  const tags: ReadonlyMap<string, string> = new Map()
  return {
    encode(value) {
      const payload = defaultCodec.encode(value)
      return encodeRecord({ kind: 'entry', id: newId(), tags, codec: defaultCodec.id, payload }) as Buffer
    },
    decode(bytes) {
      const record = decodeRecord(bytes)
      if (record === undefined) throw new Error('The store answered something that is no record.')
      return record.kind === 'integer' ? record.value : defaultCodec.decode(record.payload)
    },
  }
}
