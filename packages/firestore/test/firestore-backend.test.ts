import { createHash, randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type CacheBackend, CacheError } from '@cachekit/core'
import { describeService, FaultProxy, runScript, startServer } from '@cachekit/testing'
import { type CollectionReference, type DocumentReference, Firestore } from '@google-cloud/firestore'
import { FirestoreBackend, type FirestoreBackendOptions } from '../src/index.ts'
import { startRefusingProxy } from './fixtures/refusing-proxy.ts'

// Or else the driver looks for a server of Google Cloud's own machines.
process.env.METADATA_SERVER_DETECTION = 'none'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined => value && new TextDecoder().decode(value)
const range = (length: number): string[] => Array.from({ length }, (_, index) => `key-${index}`)
const sha256 = (id: string): string => createHash('sha256').update(id).digest('hex')

async function listOf<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const each of iterable) list.push(each)
  return list
}

/** What `call` rejects with. */
async function errorOf(call: Promise<unknown>): Promise<CacheError> {
  const error = await call.then(
    value => new Error(`resolved: ${inspect(value)}`),
    reason => reason,
  )
  if (error instanceof CacheError) return error
  throw error
}

/** All that a logger could print of an error, with the bytes of buffers as text. */
function printed(error: unknown): string {
  const whole = inspect(error, { depth: 10, showHidden: true, maxStringLength: null })
  return whole.replace(/<Buffer ([^>]*)>/g, (_, hex: string) => String(Buffer.from(hex.replaceAll(' ', ''), 'hex')))
}

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

function open(options: FirestoreBackendOptions): FirestoreBackend {
  const backend = new FirestoreBackend({ timeout: 10_000, ...options })
  opened.push(backend)
  return backend
}

/** The requests that a client makes, by the names of their methods. */
function counting(requests: string[]): object {
  type Invocation = { readonly methodDefinition: { readonly path: string } }
  const callInvocationTransformer = (invocation: Invocation): Invocation => {
    requests.push(invocation.methodDefinition.path.split('/').at(-1) as string)
    return invocation
  }
  return { grpcOptions: { 'grpc.callInvocationTransformer': callInvocationTransformer } }
}

describeService('firestore', server => {
  let settings: { projectId: string; host: string; ssl: false }
  let firestore: Firestore
  let collection: CollectionReference
  let backend: FirestoreBackend

  /** The document of an entry, seen by a client beside the backend. */
  const documentOf = (id: string): DocumentReference => collection.doc(sha256(id))

  function client(options: object = {}): Firestore {
    const made = new Firestore({ ...settings, ...options })
    opened.push({ close: () => made.terminate() })
    return made
  }

  function openOwn(options: FirestoreBackendOptions = {}): FirestoreBackend {
    const { projectId, ...clientOptions } = settings
    return open({ projectId, clientOptions, ...options })
  }

  // A project of its own for each case: the emulator keeps them apart.
  beforeEach(() => {
    settings = { projectId: `p-${randomUUID()}`, host: `${server.host}:${server.port}`, ssl: false }
    firestore = client()
    collection = firestore.collection('cachekit')
    backend = openOwn()
  })

  describe('the storage layout', () => {
    test('an entry is a document named by the SHA-256 of namespace:key', async () => {
      await backend.set('a b', bytes('välue'))
      await backend.namespace('users').set('42', bytes('Ada'))
      const ids = ['cachekit:a b', 'cachekit:@users:42']
      const documents = await collection.get()
      expect(documents.docs.map(each => each.id).sort()).toEqual(ids.map(sha256).sort())
      expect((await documentOf('cachekit:a b').get()).data()).toEqual({
        id: 'cachekit:a b',
        value: Buffer.from('välue'),
        expiresAt: null,
      })
      expect((await documentOf('cachekit:@users:42').get()).get('id')).toBe('cachekit:@users:42')
    })

    test('of an id that no index takes whole, a hash is in id and the whole in longId', async () => {
      const key = 'ключ'.repeat(500)
      await backend.namespace('users').set(key, bytes('1'))
      const id = `cachekit:@users:${key}`
      const hash = createHash('sha256').update(id).digest('base64url')
      expect((await documentOf(id).get()).data()).toMatchObject({ id: `cachekit:@users:@#${hash}`, longId: id })
      expect(await listOf(backend.namespace('users').keys())).toEqual([key])
      await backend.namespace('users').clear()
      expect((await collection.get()).size).toBe(0)
    })

    test('a document of version 1 is read for ever', async () => {
      await documentOf('cachekit:golden').set({
        id: 'cachekit:golden',
        value: Buffer.from('41'),
        expiresAt: new Date('2999-12-31T23:59:59.999Z'),
      })
      expect(text(await backend.get('golden'))).toBe('41')
      expect(await backend.increment('golden')).toBe(42)
      expect((await documentOf('cachekit:golden').get()).get('expiresAt').toDate()).toEqual(
        new Date('2999-12-31T23:59:59.999Z'),
      )
    })

    test('entries live in the collection and the database that the options name', async () => {
      const elsewhere = openOwn({ collection: 'sessions', databaseId: 'other' })
      await elsewhere.set('k', bytes('1'))
      expect(await backend.has('k')).toBe(false)
      const there = client({ databaseId: 'other' }).collection('sessions')
      expect((await there.get()).docs.map(each => each.id)).toEqual([sha256('cachekit:k')])
    })
  })

  describe('the deadline is a timestamp, for a TTL policy', () => {
    const now = 1_700_000_000_123
    let dated: FirestoreBackend
    beforeEach(() => {
      dated = openOwn({ now: () => now })
    })

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'), { ttl: 12_345 })],
      ['setMany', b => b.setMany([['k', bytes('1'), { ttl: 12_345 }]])],
      ['add', b => b.add('k', bytes('1'), { ttl: 12_345 })],
      ['increment of a new counter', b => b.increment('k', 1, { ttl: 12_345 })],
      [
        'compareAndSet',
        b => b.set('k', bytes('0')).then(() => b.compareAndSet('k', bytes('0'), bytes('1'), { ttl: 12_345 })),
      ],
      ['touch', b => b.set('k', bytes('1')).then(() => b.touch('k', { ttl: 12_345 }))],
    ])('%s sets it to the millisecond', async (_name, write) => {
      await write(dated)
      expect((await documentOf('cachekit:k').get()).get('expiresAt').toMillis()).toBe(now + 12_345)
    })

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['set', b => b.set('k', bytes('1'))],
      ['setMany', b => b.setMany([['k', bytes('1')]])],
      ['compareAndSet', b => b.compareAndSet('k', bytes('1'), bytes('2'))],
      ['touch', b => b.touch('k', { ttl: undefined })],
    ])('%s without a ttl makes it null', async (_name, write) => {
      await dated.set('k', bytes('1'), { ttl: 60_000 })
      await write(dated)
      expect((await documentOf('cachekit:k').get()).get('expiresAt')).toBeNull()
    })
  })

  describe('what goes over the wire', () => {
    const keys = range(100)
    const requests: string[] = []
    let counted: FirestoreBackend
    beforeEach(async () => {
      counted = open({ client: client(counting(requests)) })
      await counted.setMany(keys.map(key => [key, bytes(`value of ${key}`)]))
      await counted.set('counter', bytes('1'))
      await counted.set('expired', bytes('1'), { ttl: 1 })
      await sleep(5)
      requests.length = 0
    })

    test.each<[string, (b: CacheBackend) => Promise<unknown>, string[]]>([
      ['get', b => b.get('key-1'), ['BatchGetDocuments']],
      ['setMany of 600 keys', b => b.setMany(range(600).map(key => [key, bytes('new')])), Array(3).fill('Commit')],
      ['has', b => b.has('key-1'), ['BatchGetDocuments']],
      ['getMany of 100 keys', b => b.getMany(keys), ['BatchGetDocuments']],
      ['getMany of 600 keys', b => b.getMany(range(600)), Array(6).fill('BatchGetDocuments')],
      ['set', b => b.set('key-1', bytes('new')), ['Commit']],
      ['setMany of 100 keys', b => b.setMany(keys.map(key => [key, bytes('new')])), ['Commit']],
      ['deleteMany of 100 keys', b => b.deleteMany(keys), ['Commit']],
      ['add of a new key', b => b.add('new', bytes('1')), ['Commit']],
      ['add of a key that is there', b => b.add('key-1', bytes('1')), ['Commit', 'BatchGetDocuments']],
      ['add of a key that has expired', b => b.add('expired', bytes('1')), ['Commit', 'BatchGetDocuments', 'Commit']],
      ['increment', b => b.increment('counter'), ['BatchGetDocuments', 'Commit']],
      ['touch', b => b.touch('key-1', { ttl: 1000 }), ['BatchGetDocuments', 'Commit']],
      ['delete', b => b.delete('key-1'), ['BatchGetDocuments', 'Commit']],
      ['delete of nothing', b => b.delete('nothing'), ['BatchGetDocuments']],
      [
        'compareAndSet',
        b => b.compareAndSet('key-1', bytes('value of key-1'), bytes('new')),
        ['BatchGetDocuments', 'Commit'],
      ],
      ['clear of 102 entries', b => b.clear(), ['RunQuery', 'Commit']],
    ])('%s', async (_name, call, expected) => {
      await call(counted)
      expect(requests).toEqual(expected)
    })

    test('a batch of 100 keys is one round trip on the socket, too', async () => {
      const proxy = await FaultProxy.start(server)
      opened.push(proxy)
      const { projectId } = settings
      const distant = open({ projectId, clientOptions: { host: `${proxy.host}:${proxy.port}`, ssl: false } })
      await distant.getMany(keys)
      await proxy.inject({ delay: 100 })
      for (const batch of [
        () => distant.getMany(keys),
        () => distant.setMany(keys.map(key => [key, bytes('new')])),
        () => distant.deleteMany(keys),
      ]) {
        const start = performance.now()
        await batch()
        // There and back is 200 ms; one by one the keys would take a hundred times that.
        expect(performance.now() - start).toBeLessThan(2000)
      }
    })
  })

  describe('clear', () => {
    test('of 5,200 entries goes on in pages, and leaves those of others', async () => {
      const requests: string[] = []
      const mine = open({ client: client(counting(requests)), namespace: 'mine', timeout: 4000 })
      await mine.setMany(range(5200).map(key => [key, bytes('1')]))
      const neighbours = ['min', 'mine2', 'mine@', 'mine;', 'mine9', 'Mine']
      for (const namespace of neighbours) await openOwn({ namespace }).set('k', bytes('1'))
      requests.length = 0
      await mine.clear()
      expect((await collection.get()).docs.map(each => each.get('id')).sort()).toEqual(
        neighbours.map(name => `${name.replace('@', '%40')}:k`).sort(),
      )
      // 2,000 at a time: half the timeout.
      expect(requests.filter(name => name === 'RunQuery')).toHaveLength(3)
      expect(requests.filter(name => name === 'Commit')).toHaveLength(21)
    }, 60_000)

    test('ends while another client goes on writing', async () => {
      await backend.setMany(range(600).map(key => [key, bytes('1')]))
      let over = false
      const other = openOwn()
      const writer = (async () => {
        for (let index = 0; !over; index++) {
          await other.setMany(range(100).map(key => [`${index}-${key}`, bytes('1')]))
        }
      })()
      await backend.clear()
      over = true
      await writer
      expect((await backend.getMany(range(600))).filter(Boolean)).toEqual([])
    }, 60_000)
  })

  describe('a document of others under the name of ours', () => {
    beforeEach(() => documentOf('cachekit:k').set({ id: 'cachekit:k', value: 'a string', expiresAt: 12 }))

    test.each<[string, (b: CacheBackend) => Promise<unknown>]>([
      ['get', b => b.get('k')],
      ['getEntry', b => b.getEntry('k')],
      ['has', b => b.has('k')],
      ['add', b => b.add('k', bytes('1'))],
      ['increment', b => b.increment('k')],
      ['touch', b => b.touch('k', { ttl: 1 })],
      ['compareAndSet', b => b.compareAndSet('k', bytes('1'), bytes('2'))],
      ['compareAndDelete', b => b.compareAndDelete('k', bytes('1'))],
    ])('%s rejects with CACHE_CORRUPT_ENTRY and leaves it', async (_name, call) => {
      expect(await errorOf(call(backend))).toMatchObject({ code: 'CACHE_CORRUPT_ENTRY', retryable: false })
      expect((await documentOf('cachekit:k').get()).get('value')).toBe('a string')
    })

    test('set replaces it', async () => {
      await backend.set('k', bytes('new'))
      expect(text(await backend.get('k'))).toBe('new')
    })

    test('delete removes it', async () => {
      expect(await backend.delete('k')).toBe(true)
      expect((await documentOf('cachekit:k').get()).exists).toBe(false)
    })

    test('getMany answers the other keys, and keys leaves it out', async () => {
      await backend.set('other', bytes('1'))
      expect((await backend.getMany(['k', 'other'])).map(text)).toEqual([undefined, '1'])
      expect(await listOf(backend.keys())).toEqual(['other'])
    })
  })

  test('the largest value fits under the longest key, and Firestore takes not a byte more', async () => {
    // 900 bytes of namespaces, and a key whose @ is doubled.
    const longest = openOwn({ namespace: '%'.repeat(256) }).namespace('x'.repeat(129))
    const key = `@${'k'.repeat(8191)}`
    const { maxValueBytes } = backend.supports
    await longest.set(key, Buffer.alloc(maxValueBytes, 1), { ttl: 60_000 })
    expect((await longest.get(key))?.byteLength).toBe(maxValueBytes)
    const [document] = (await collection.get()).docs
    await expect(document?.ref.update({ value: Buffer.alloc(maxValueBytes + 1) })).rejects.toThrow('1048576 bytes')
    const requests: string[] = []
    const counted = open({ client: client(counting(requests)) })
    expect(await errorOf(counted.set('k', Buffer.alloc(maxValueBytes + 1)))).toMatchObject({
      code: 'CACHE_VALUE_TOO_LARGE',
      outcome: 'not-applied',
    })
    expect(requests).toEqual([])
  })

  describe('contention', () => {
    /** Holds the lock of a document, as a transaction does that has read it. */
    async function lock(document: DocumentReference, milliseconds: number): Promise<unknown> {
      let locked = (): void => {}
      const held = new Promise<void>(resolve => {
        locked = resolve
      })
      const transaction = firestore.runTransaction(async each => {
        await each.get(document)
        locked()
        await sleep(milliseconds)
      })
      await held
      return transaction
    }

    test('a write that Firestore aborts because of it is sent again until it is through', async () => {
      await backend.set('k', bytes('1'))
      const requests: string[] = []
      const counted = open({ client: client(counting(requests)) })
      // The emulator aborts a commit that has waited 2 s for a lock.
      const transaction = lock(documentOf('cachekit:k'), 3000)
      await sleep(200)
      await counted.set('k', bytes('2'))
      expect(requests.filter(name => name === 'Commit').length).toBeGreaterThan(1)
      expect(text(await backend.get('k'))).toBe('2')
      await transaction
    }, 20_000)

    test('and ends within the timeout where it does not', async () => {
      await backend.set('k', bytes('1'))
      const hasty = openOwn({ timeout: 3000 })
      await hasty.open()
      const transaction = lock(documentOf('cachekit:k'), 7000)
      await sleep(200)
      const start = performance.now()
      const error = await errorOf(hasty.increment('k'))
      expect(performance.now() - start).toBeLessThan(1.2 * 3000)
      expect(['CACHE_TIMEOUT', 'CACHE_UNAVAILABLE']).toContain(error.code)
      expect(error.retryable).toBe(true)
      await transaction
    }, 20_000)

    test('100 increments of one counter by four backends are all counted within their timeouts', async () => {
      const backends = [backend, openOwn(), openOwn(), openOwn()]
      const sums = await Promise.all(
        Array.from({ length: 100 }, (_, index) => (backends[index % 4] as CacheBackend).increment('k')),
      )
      expect(new Set(sums).size).toBe(100)
      expect(text(await backend.get('k'))).toBe('100')
    }, 20_000)
  })

  describe('refusals of the server', () => {
    test('a caller without rights: CACHE_BACKEND_FAILED, and nothing secret is printed', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'cachekit-rules-'))
      const rules = join(folder, 'deny.rules')
      await writeFile(
        rules,
        'service cloud.firestore { match /databases/{d}/documents { match /{x=**} { allow read, write: if false; } } }',
      )
      const strict = await startServer('firestore', { args: [`--rules=${rules}`], ways: ['local', 'fetched'] })
      opened.push(strict, { close: () => rm(folder, { recursive: true }) })
      // For the emulator any bearer but its owner is a user of an app.
      const payload = Buffer.from(JSON.stringify({ sub: 'the-secret-user', iat: 0 })).toString('base64url')
      const customHeaders = { Authorization: `Bearer eyJhbGciOiJub25lIn0.${payload}.` }
      const host = `${strict.host}:${strict.port}`
      const intruder = open({ projectId: 'p', clientOptions: { host, ssl: false, customHeaders } })
      await errorOf(intruder.open())
      for (const call of [() => intruder.get('k'), () => intruder.set('k', bytes('the-secret-value'))]) {
        const start = performance.now()
        const error = await errorOf(call())
        expect(performance.now() - start).toBeLessThan(1000)
        expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED', retryable: false })
        expect(error.message).toContain('role')
        expect(printed(error)).toContain('PERMISSION_DENIED')
        expect(printed(error)).not.toContain('the-secret-value')
        expect(printed(error)).not.toContain(payload)
      }
      expect(await errorOf(intruder.set('k', bytes('1')))).toMatchObject({ outcome: 'not-applied' })
    }, 60_000)

    // Of these the emulator gives few.
    test.each<[string, number, string, boolean, string]>([
      ['CANCELLED', 1, 'CACHE_UNAVAILABLE', true, 'unknown'],
      ['UNKNOWN', 2, 'CACHE_UNAVAILABLE', true, 'unknown'],
      ['INVALID_ARGUMENT', 3, 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['DEADLINE_EXCEEDED', 4, 'CACHE_TIMEOUT', true, 'unknown'],
      ['NOT_FOUND', 5, 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['PERMISSION_DENIED', 7, 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['RESOURCE_EXHAUSTED', 8, 'CACHE_UNAVAILABLE', true, 'not-applied'],
      ['FAILED_PRECONDITION', 9, 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['UNIMPLEMENTED', 12, 'CACHE_BACKEND_FAILED', false, 'not-applied'],
      ['INTERNAL', 13, 'CACHE_UNAVAILABLE', true, 'unknown'],
      ['UNAVAILABLE', 14, 'CACHE_UNAVAILABLE', true, 'unknown'],
      ['UNAUTHENTICATED', 16, 'CACHE_BACKEND_FAILED', false, 'not-applied'],
    ])('%s is sent once and told', async (name, status, code, retryable, outcome) => {
      const proxy = await startRefusingProxy(settings.host)
      opened.push(proxy)
      const { projectId } = settings
      const distant = open({ projectId, clientOptions: { host: proxy.host, ssl: false } })
      await distant.set('k', bytes('1'))
      proxy.status = status
      for (const call of [
        () => distant.set('k', bytes('the-secret-value')),
        () => distant.setMany([['k', bytes('the-secret-value')]]),
        () => distant.deleteMany(['k']),
      ]) {
        proxy.refused = 0
        const error = await errorOf(call())
        expect(error).toMatchObject({ code, retryable, outcome })
        expect(error.message).not.toContain('the error of its driver')
        expect(printed(error)).toContain(name)
        expect(printed(error)).not.toContain('the-secret-value')
        expect(proxy.refused).toBe(1)
      }
      expect(await errorOf(distant.get('k'))).toMatchObject({ code, retryable })
      expect(await errorOf(distant.increment('k'))).toMatchObject({ code, retryable })
      proxy.status = undefined
      expect(text(await distant.get('k'))).toBe('1')
    })
  })

  test('without credentials every call says so, and the process lives on', async () => {
    const { stdout } = await runScript(join(__dirname, 'fixtures/without-credentials.ts'))
    const errors = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(errors).toHaveLength(9)
    for (const error of errors) expect(error).toMatchObject({ code: 'CACHE_BACKEND_FAILED' })
    expect(errors.map(({ outcome }) => outcome).filter(Boolean)).toEqual(Array(3).fill('not-applied'))
    expect(stdout).toContain('GOOGLE_APPLICATION_CREDENTIALS')
    expect(stdout).not.toContain('the-secret-key')
  }, 30_000)

  describe('a client that is passed in', () => {
    test('is used, and not terminated', async () => {
      const guest = new FirestoreBackend({ client: firestore })
      await guest.set('k', bytes('1'))
      await guest.close()
      expect((await documentOf('cachekit:k').get()).get('value')).toEqual(Buffer.from('1'))
    })

    test('that its owner has terminated is reported as such', async () => {
      const terminated = new Firestore(settings)
      const guest = open({ client: terminated })
      await guest.set('k', bytes('1'))
      await terminated.terminate()
      expect(await errorOf(guest.set('k', bytes('2')))).toMatchObject({
        code: 'CACHE_UNAVAILABLE',
        outcome: 'not-applied',
      })
    })

    test('is refused together with projectId, databaseId or clientOptions', () => {
      for (const options of [{ projectId: 'p' }, { databaseId: 'd' }, { clientOptions: {} }]) {
        expect(() => new FirestoreBackend({ client: firestore, ...options })).toThrow('Pass client alone')
      }
    })

    test('is refused when it is no client', () => {
      for (const client of [null, 'firestore', {}, new Map()]) {
        expect(() => new FirestoreBackend({ client: client as never })).toThrow('client must be')
      }
    })
  })

  test('options that do not fit are refused', () => {
    for (const options of [
      { projectId: '' },
      { projectId: 42 as never },
      { databaseId: '' },
      { clientOptions: 'host' as never },
      { clientOptions: { preferRest: true } },
      { collection: '' },
      { collection: 'a/b' },
      { collection: '.' },
      { collection: '__reserved__' },
      { collection: 'x'.repeat(1501) },
      { collection: 7 as never },
      { timeout: -1 },
    ] satisfies FirestoreBackendOptions[]) {
      let error: unknown
      try {
        new FirestoreBackend(options)
      } catch (thrown) {
        error = thrown
      }
      expect([options, error]).toEqual([options, expect.objectContaining({ code: 'CACHE_INVALID_ARGUMENT' })])
    }
  })

  test('a process that has closed its backend ends at once', async () => {
    const { stdout } = await runScript(join(__dirname, 'fixtures/use-and-close.ts'), settings.host, settings.projectId)
    expect(Number(stdout)).toBeLessThan(500)
    expect((await documentOf('cachekit:runs').get()).get('value')).toEqual(Buffer.from('1'))
  }, 30_000)
})
