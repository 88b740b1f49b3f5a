import { Redis } from 'ioredis'
import { describeService } from '../src/index.ts'

describeService('redis', service => {
  test('the service answers', async () => {
    const client = new Redis(service.url)
    expect(await client.ping()).toBe('PONG')
    client.disconnect()
  })
})
