import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { NewEntry, StoredEntry } from '../src/backend.ts'
import { type BackendOptions, BaseBackend } from '../src/base-backend.ts'
import { hostileTtls, invalidTtls } from '../src/conformance/index.ts'
import type { CacheError, CacheErrorFields } from '../src/errors.ts'
import type { Progress } from '../src/lifecycle.ts'
import { checkTtl } from '../src/ttl.ts'
import { SUPPORTS } from './mutants/reference-backend.ts'

const sleep = (milliseconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))
const never = new Promise<never>(() => {})
const bytes = (text: string): Uint8Array => Buffer.from(text)
const failure = (promise: Promise<unknown>): Promise<CacheError> =>
  promise.then(
    () => {
      throw new Error('it resolved')
    },
    (error: CacheError) => error,
  )

/** A backend whose hooks are what a test makes them. */
class ScriptedBackend extends BaseBackend {
  readonly calls: string[] = []
  onOpen: () => Promise<void> = async () => {}
  onClose: () => Promise<void> = async () => {}
  onGet: (id: string) => Promise<StoredEntry | undefined> = async () => undefined
  onSet: () => Promise<void> = async () => {}
  onSwap: () => Promise<boolean> = async () => true
  onClear: (progress: Progress) => Promise<void> = async () => {}
  toError: (error: unknown) => CacheErrorFields | undefined = () => undefined

  constructor(options: BackendOptions = {}) {
    super('scripted', SUPPORTS, options)
  }

  protected override async _open(): Promise<void> {
    this.calls.push('open')
    await this.onOpen()
  }

  protected override async _close(): Promise<void> {
    this.calls.push('close')
    await this.onClose()
  }

  protected override _timedOut(): void {
    this.calls.push('timed out')
  }

  protected override _toError(error: unknown): CacheErrorFields | undefined {
    return this.toError(error)
  }

  protected async _get(id: string): Promise<StoredEntry | undefined> {
    this.calls.push(`get ${id}`)
    return this.onGet(id)
  }

  protected async _set(_id: string, _entry: NewEntry): Promise<void> {
    this.calls.push('set')
    await this.onSet()
  }

  protected async _swap(): Promise<boolean> {
    this.calls.push('swap')
    return this.onSwap()
  }

  protected async _clear(_prefix: string, progress: Progress): Promise<void> {
    await this.onClear(progress)
  }
}

describe('the first call opens the backend', () => {
  test('once, however many there are', async () => {
    const backend = new ScriptedBackend()
    await Promise.all([backend.get('a'), backend.get('b'), backend.open(), backend.namespace('x').get('c')])
    await backend.get('d')
    expect(backend.calls.filter(call => call === 'open')).toHaveLength(1)
  })

  test('and if that fails, the next call tries again', async () => {
    const backend = new ScriptedBackend()
    backend.onOpen = () => Promise.reject(new Error('refused'))
    const error = await failure(backend.set('k', bytes('1')))
    expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', operation: 'set', outcome: 'not-applied' })
    backend.onOpen = async () => {}
    await backend.set('k', bytes('1'))
    expect(backend.calls).toEqual(['open', 'open', 'set'])
  })

  test('within its timeout, and says that it was not connected', async () => {
    const backend = new ScriptedBackend({ timeout: 30 })
    backend.onOpen = () => never
    const error = await failure(backend.set('k', bytes('1')))
    expect(error).toMatchObject({ code: 'CACHE_TIMEOUT', outcome: 'not-applied', retryable: true })
    expect(error.message).toContain('not connected yet')
    expect(backend.calls).toEqual(['open', 'timed out'])
  })

  test('and a call that timed out while it opened does nothing afterwards', async () => {
    const backend = new ScriptedBackend({ timeout: 30 })
    backend.onOpen = () => sleep(60)
    await failure(backend.set('k', bytes('1')))
    await sleep(60)
    expect(backend.calls).not.toContain('set')
  })
})

describe('a call that is not answered', () => {
  test('ends at its timeout; a write may still land', async () => {
    const backend = new ScriptedBackend({ timeout: 40 })
    backend.onGet = () => never
    backend.onSet = () => never
    const start = performance.now()
    const [read, write] = await Promise.all([failure(backend.get('k')), failure(backend.set('k', bytes('1')))])
    expect(performance.now() - start).toBeGreaterThan(38)
    expect(read).toMatchObject({ code: 'CACHE_TIMEOUT', operation: 'get', backend: 'scripted', retryable: true })
    expect(read.outcome).toBeUndefined()
    expect(write).toMatchObject({ code: 'CACHE_TIMEOUT', operation: 'set', outcome: 'unknown' })
    expect(backend.calls.filter(call => call === 'timed out')).toHaveLength(2)
  })

  test('does not hold up those that come after it', async () => {
    const backend = new ScriptedBackend({ timeout: 40 })
    backend.onGet = id => (id.endsWith('slow') ? never : Promise.resolve(undefined))
    const slow = failure(backend.get('slow'))
    await sleep(20)
    expect(await backend.get('quick')).toBeUndefined()
    expect((await slow).code).toBe('CACHE_TIMEOUT')
    const later = failure(backend.get('slow'))
    expect((await later).code).toBe('CACHE_TIMEOUT')
  })

  test('ends a loop of swaps that never succeed', async () => {
    const backend = new ScriptedBackend({ timeout: 40 })
    backend.onSwap = async () => {
      await sleep(1)
      return false
    }
    expect((await failure(backend.add('k', bytes('1')))).code).toBe('CACHE_TIMEOUT')
    await sleep(10)
    const before = backend.calls.length
    await sleep(30)
    expect(backend.calls.length).toBe(before)
  })
})

test('an answer that arrived while the process stalled is no timeout', async () => {
  const answered = new Int32Array(new SharedArrayBuffer(4))
  const store = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads')
     parentPort.on('message', message => {
       parentPort.postMessage(message)
       Atomics.add(workerData, 0, 1)
     })`,
    { eval: true, workerData: answered },
  )
  const backend = new ScriptedBackend({ timeout: 30 })
  backend.onGet = async () => {
    store.postMessage('?')
    await once(store, 'message')
    return undefined
  }
  try {
    await once(store, 'online')
    await backend.open()
    for (let attempt = 0; attempt < 6; attempt++) {
      const before = Atomics.load(answered, 0)
      const answer = backend.get('k')
      await new Promise(resolve => setImmediate(resolve)) // timers come next, then what has arrived
      for (const end = performance.now() + 60; performance.now() < end || Atomics.load(answered, 0) === before; );
      expect(await answer).toBeUndefined()
    }
  } finally {
    await store.terminate()
  }
})

describe('a long call', () => {
  test('has its whole timeout again whenever it got on', async () => {
    const backend = new ScriptedBackend({ timeout: 60 })
    backend.onClear = async progress => {
      for (let step = 0; step < 5; step++) {
        await sleep(30)
        progress()
      }
    }
    await backend.clear()
  })

  test('ends when it only asks, and is told so', async () => {
    const backend = new ScriptedBackend({ timeout: 60 })
    let turns = 0
    const ended = new Promise(resolve => {
      backend.onClear = async progress => {
        try {
          for (;;) {
            await sleep(10)
            progress(false)
            turns++
          }
        } catch (error) {
          resolve(error)
          throw error
        }
      }
    })
    expect(await failure(backend.clear())).toMatchObject({ code: 'CACHE_TIMEOUT', outcome: 'unknown' })
    expect(await ended).toMatchObject({ code: 'CACHE_CLOSED' })
    expect(turns).toBeLessThan(10)
  })

  test('is not kept going by calls that fail', async () => {
    const backend = new ScriptedBackend({ timeout: 60 })
    backend.onSet = async () => {
      await sleep(20)
      throw new Error('away')
    }
    const entries = Array.from({ length: 1000 }, (_, index): [string, Uint8Array] => [`k${index}`, bytes('1')])
    expect((await failure(backend.setMany(entries))).code).toBe('CACHE_TIMEOUT')
    await sleep(50)
    expect(backend.calls.filter(call => call === 'set').length).toBeLessThan(200)
  })
})

describe('a batch', () => {
  const entries = ['a', 'b', 'c'].map((key): [string, Uint8Array] => [key, bytes('1')])

  test('that fails in part names the keys as the caller gave them', async () => {
    const backend = new ScriptedBackend()
    let left = 1
    backend.onSet = () => (left-- > 0 ? Promise.reject(new Error('no')) : Promise.resolve())
    const error = await failure(backend.namespace('x').setMany(entries))
    expect(error).toMatchObject({ code: 'CACHE_BATCH_FAILED', operation: 'setMany', keys: ['a'], outcome: 'unknown' })
    expect(error.cause).toMatchObject({ message: 'no' })
  })

  test('that fails altogether rejects as a single call would', async () => {
    const backend = new ScriptedBackend()
    backend.toError = () => ({ code: 'CACHE_UNAVAILABLE', outcome: 'not-applied' })
    backend.onSet = () => Promise.reject(new Error('no'))
    const error = await failure(backend.setMany(entries))
    expect(error).toMatchObject({ code: 'CACHE_UNAVAILABLE', keys: ['a', 'b', 'c'], outcome: 'not-applied' })
  })

  test('keeps 32 calls under way', async () => {
    const backend = new ScriptedBackend()
    let [now, most] = [0, 0]
    backend.onGet = async () => {
      most = Math.max(most, ++now)
      await sleep(1)
      now--
      return undefined
    }
    await backend.getMany(Array.from({ length: 200 }, (_, index) => `k${index}`))
    expect(most).toBe(32)
  })
})

describe('close()', () => {
  test('waits for the calls under way, then closes', async () => {
    const backend = new ScriptedBackend()
    backend.onGet = async () => {
      await sleep(30)
      return { value: bytes('1') }
    }
    const answer = backend.get('k')
    await backend.close()
    expect(await answer).toEqual(bytes('1'))
    expect(backend.calls.at(-1)).toBe('close')
  })

  test('waits no longer than the timeout, and ends what is left', async () => {
    const backend = new ScriptedBackend({ timeout: 5000 })
    const quick = new ScriptedBackend({ timeout: 50 })
    backend.onGet = () => never
    quick.onClear = async progress => {
      for (;;) {
        await sleep(10)
        progress()
      }
    }
    const clearing = failure(quick.clear())
    await sleep(0)
    await quick.close()
    expect(await clearing).toMatchObject({ code: 'CACHE_CLOSED', operation: 'clear', outcome: 'unknown' })
    await backend.close()
  })

  test('of a backend that was never used closes what there is, and opens nothing', async () => {
    const backend = new ScriptedBackend()
    await backend.close()
    expect(backend.calls).toEqual(['close'])
  })

  test('that fails, or never ends, rejects once and for all', async () => {
    const failing = new ScriptedBackend()
    failing.onClose = () => Promise.reject(new Error('no'))
    expect((await failure(failing.close())).cause).toMatchObject({ message: 'no' })
    await failure(failing.close())
    expect(failing.calls).toEqual(['close'])
    const hanging = new ScriptedBackend({ timeout: 30 })
    hanging.onClose = () => never
    expect((await failure(hanging.close())).code).toBe('CACHE_TIMEOUT')
  })

  test('of a view waits for the calls of that view alone', async () => {
    const backend = new ScriptedBackend()
    backend.onGet = id => (id.includes('@slow:') ? sleep(40).then(() => undefined) : sleep(400).then(() => undefined))
    const [slow, other] = [backend.namespace('slow'), backend.namespace('other')]
    const order: string[] = []
    const calls = [
      slow
        .namespace('inside')
        .get('k')
        .then(() => order.push('inside')),
      other.get('k').then(() => order.push('other')),
    ]
    await slow.close().then(() => order.push('closed'))
    expect(order).toEqual(['inside', 'closed'])
    await Promise.all(calls)
  })
})

test('a batch without keys calls nothing, not even _open', async () => {
  const backend = new ScriptedBackend()
  expect(await backend.getMany([])).toEqual([])
  await backend.setMany([])
  await backend.deleteMany([])
  expect(backend.calls).toEqual([])
})

test('an error is what _toError makes of it; one that cannot be read is a failure all the same', async () => {
  const backend = new ScriptedBackend()
  backend.onGet = () => Promise.reject(new Error('vendor'))
  backend.toError = () => ({ code: 'CACHE_UNAVAILABLE', message: 'away', retryable: false })
  expect(await failure(backend.get('k'))).toMatchObject({
    code: 'CACHE_UNAVAILABLE',
    message: 'away',
    retryable: false,
  })
  backend.toError = () => {
    throw new Error('from _toError')
  }
  const error = await failure(backend.get('k'))
  expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', backend: 'scripted', operation: 'get' })
  expect(error.cause).toMatchObject({ message: 'vendor' })
})

describe('a ttl', () => {
  test.each(hostileTtls.map(ttl => [ttl]))('of %d ms is taken as it is', ttl => expect(checkTtl(ttl)).toBe(ttl))

  test('with a fraction is rounded up', () => {
    expect([0.001, 0.5, 1.5, 1000.0001].map(checkTtl)).toEqual([1, 1, 2, 1001])
  })

  test('of more than 1,000 years means 1,000 years', () => {
    const millennium = 1000 * 365.25 * 24 * 3_600_000
    expect([millennium + 1, Number.MAX_SAFE_INTEGER, Number.MAX_VALUE].map(checkTtl)).toEqual([
      millennium,
      millennium,
      millennium,
    ])
  })

  test('that is none is refused', () => {
    for (const ttl of invalidTtls)
      expect(() => checkTtl(ttl)).toThrow(expect.objectContaining({ code: 'CACHE_INVALID_TTL' }))
  })
})
