import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describeService } from '@cachekit/testing'
import { Redis } from 'ioredis'
import { runDemo } from './run-demo.ts'

jest.setTimeout(120_000) // programs run here, maybe while the machine is busy

const requests = 400
const trace = gunzipSync(readFileSync(join(__dirname, '../trace/web12-17501-57500.gz')))
const distinct = new Set(Array.from({ length: requests }, (_, index) => trace.readUInt32BE(index * 4))).size
const hitRatio = Number(((100 * (requests - distinct)) / requests).toFixed(1))

test('the recorded part holds the requests that its attribution says', () => {
  const keys = new Set(Array.from({ length: 40_000 }, (_, index) => trace.readUInt32BE(index * 4)))
  expect([trace.length, keys.size]).toEqual([4 * 40_000, 7273])
})

test('without a cache every request loads, with one each place loads once', async () => {
  const { status, rows, stderr } = await runDemo('--exit', '--requests', `${requests}`)
  expect(rows).toEqual([
    { name: 'without cache', requests, loads: requests, hitRatio: 0 },
    { name: 'memory', requests, loads: distinct, hitRatio },
  ])
  expect(stderr).toContain(`${requests}/${requests}`)
  expect(status).toBe(0)
})

describeService('redis', service => {
  const client = new Redis(service.url)
  const own = async (): Promise<string[]> => client.keys('cachekit-demo:*')
  afterAll(async () => {
    await client.unlink('not-the-demo', ...(await own()))
    client.disconnect()
  })

  test('Redis loads what memory loads, also when an earlier run has left its entries', async () => {
    await client.set('not-the-demo', 'kept')
    for (let run = 0; run < 2; run++) {
      const { status, rows, stderr } = await runDemo(
        '--exit',
        '--requests',
        `${requests}`,
        '--backend',
        'redis',
        '--url',
        service.url,
      )
      expect(stderr).not.toContain('Error')
      expect(rows[1]).toEqual({ name: 'redis', requests, loads: distinct, hitRatio })
      expect(status).toBe(0)
    }
    const keys = await own()
    expect(keys).toHaveLength(distinct)
    expect(await client.pttl(keys[0] as string)).toBeGreaterThan(59 * 60_000)
    expect(await client.get('not-the-demo')).toBe('kept')
  })
})
