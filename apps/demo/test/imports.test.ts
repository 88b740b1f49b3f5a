import { join } from 'node:path'
import { describeService } from '@cachekit/testing'
import { runDemo } from './run-demo.ts'

jest.setTimeout(60_000) // programs run here, maybe while the machine is busy

const drivers = ['ioredis', 'pg', 'memcached', 'mongodb', '@google-cloud/firestore', '@aws-sdk/client-dynamodb']

/** The drivers that the demo loads, and whether it loads what finds servers. */
async function loadedBy(...options: string[]): Promise<string[]> {
  process.env.NODE_OPTIONS = `--import=${join(__dirname, 'fixtures/log-packages.mjs')}`
  const { status, stderr } = await runDemo('--exit', '--requests', '1', ...options)
  delete process.env.NODE_OPTIONS
  expect(status).toBe(0)
  const loaded = /^loaded: (.*)$/m.exec(stderr)?.[1]?.split(' ') ?? []
  expect(loaded).toContain('@cachekit/core')
  return loaded.filter(name => [...drivers, '@cachekit/testing'].includes(name))
}

test('memory loads no driver', async () => {
  expect(await loadedBy()).toEqual([])
})

describeService('redis', ({ url }) => {
  test('Redis loads its own driver only, and what starts servers only to start one', async () => {
    expect(await loadedBy('--backend', 'redis', '--url', url)).toEqual(['ioredis'])
    expect((await loadedBy('--backend', 'redis')).sort()).toEqual(['@cachekit/testing', 'ioredis'])
  })
})
