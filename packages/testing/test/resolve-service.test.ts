import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../src/find-program.ts'
import { describeService, resolveService, startServer } from '../src/index.ts'
import { isRequired } from '../src/resolve-service.ts'

jest.setTimeout(60_000) // servers and runs start here, maybe while the machine is busy

const environment = process.env

beforeEach(() => {
  process.env = { ...environment, CI: '', CACHEKIT_REQUIRE: '' }
  delete process.env.CACHEKIT_REDIS_URL
})
afterEach(() => {
  process.env = environment
})

describeService('redis', () => {
  test('a server in the environment comes first, and is not ended', async () => {
    await using server = await startServer('redis')
    process.env.CACHEKIT_REDIS_URL = server.url
    const { port, version } = server
    const service = await resolveService('redis')
    expect(service).toMatchObject({ way: 'url', url: server.url, port, version })
    await service.close()
    expect(await resolveService('redis')).toMatchObject({ way: 'url', port })
  })

  test('a server in the environment that does not answer is an error, and its password stays out of it', async () => {
    process.env.CACHEKIT_REDIS_URL = 'redis://user:secret@127.0.0.1:1'
    const error: Error = await resolveService('redis').catch(reason => reason)
    expect(error.message).toBe('the server in CACHEKIT_REDIS_URL cannot be reached')
    expect(error.stack).not.toContain('secret')
  })
})

describe('ways to a server', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cachekit-path-'))
    process.env.PATH = `${folder}:${environment.PATH}`
    process.env.CACHEKIT_WAYS = 'local,fetched'
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  /** A program on PATH that is found first and then fails. */
  function putBrokenRedisOnPath(): void {
    const file = join(folder, 'redis-server')
    writeFileSync(file, '#!/bin/sh\necho broken on purpose\nexit 1\n')
    chmodSync(file, 0o755)
  }

  test('one that fails is named', async () => {
    putBrokenRedisOnPath()
    process.env.CACHEKIT_WAYS = 'local'
    await expect(resolveService('redis')).rejects.toThrow(
      /^redis cannot be had \(local: redis ended as it started:\nbroken on purpose\n\)$/,
    )
  })

  // Only there can a Redis be fetched without root.
  const testOnDebian = findProgram('apt-get') === undefined ? test.skip : test

  testOnDebian(
    'a program of this machine comes before a fetched one, which takes its place if it fails',
    async () => {
      putBrokenRedisOnPath()
      const lines: string[] = []
      await using server = await startServer('redis', { report: line => lines.push(line) })
      expect(server.way).toBe('fetched')
      expect(lines[0]).toMatch(/^redis: local: redis ended as it started/)
    },
    60_000,
  )

  test('an unknown one is an error', async () => {
    process.env.CACHEKIT_WAYS = 'local,magic'
    await expect(startServer('redis')).rejects.toThrow('CACHEKIT_WAYS names "magic"')
  })
})

describe('a service is required', () => {
  test.each([
    ['nothing says so', {}, false],
    ['CI is true', { CI: 'true' }, true],
    ['all are required', { CACHEKIT_REQUIRE: 'all' }, true],
    ['it is in the list', { CACHEKIT_REQUIRE: 'postgres,redis' }, true],
    ['another is in the list', { CACHEKIT_REQUIRE: 'postgres' }, false],
    ['the environment has its URL', { CACHEKIT_REDIS_URL: 'redis://127.0.0.1' }, true],
  ])('when %s: %j', (_when, variables, expected) => {
    Object.assign(process.env, variables)
    expect(isRequired('redis')).toBe(expected)
  })

  test('a misspelt name in the list is an error', () => {
    process.env.CACHEKIT_REQUIRE = 'reddis'
    expect(() => isRequired('redis')).toThrow('CACHEKIT_REQUIRE names "reddis"')
  })
})
