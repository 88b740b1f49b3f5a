import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { conformance } from '@cachekit/core/conformance'
import { describeService, type Server, startServer } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { RedisBackend } from '../src/index.ts'

// The kit under the very user that the README tells operators to make; only the namespace differs.
const readme = readFileSync(join(__dirname, '../README.md'), 'utf8')
const [line = ''] = /^ACL SETUSER .*$/m.exec(readme) ?? []
const acl = line.replace('~cachekit:*', '~*').split(' ').slice(1)

describeService('redis', () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer('redis')
    const admin = new Redis(server.url)
    await admin.acl(...(acl as ['SETUSER', string]))
    admin.disconnect()
  })
  afterAll(() => server.close())

  const create = (options: object): RedisBackend =>
    new RedisBackend({ url: `redis://cachekit:secret@${server.host}:${server.port}`, ...options })
  for (const { title, run, timeout } of conformance({ create })) test(title, run, timeout)

  test('that user may do nothing else', async () => {
    const user = new Redis(server.port, server.host, { username: 'cachekit', password: 'secret' })
    for (const command of [
      ['flushall'],
      ['keys', '*'],
      ['config', 'get', '*'],
      ['acl', 'list'],
      ['hset', 'h', 'f', 'v'],
    ]) {
      await expect(user.call(...(command as [string]))).rejects.toThrow('NOPERM')
    }
    user.disconnect()
  })
})
