import { conformance } from '@cachekit/core/conformance'
import { InMemoryBackend, type InMemoryBackendOptions } from '@cachekit/memory'
import { LiveBackend } from './live-backend.ts'

const variants: InMemoryBackendOptions[] = [
  { policy: 'lru', isolation: 'clone' },
  { policy: 'lru', isolation: 'share' },
  { policy: 's3fifo', isolation: 'clone' },
  { policy: 's3fifo', isolation: 'share' },
]

describe.each([InMemoryBackend, LiveBackend])('%p', Backend => {
  describe.each(variants)('%j', variant => {
    for (const { title, timeout, run } of conformance({ create: options => new Backend({ ...variant, ...options }) })) {
      test(title, run, timeout)
    }
  })
})
