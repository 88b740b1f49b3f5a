import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A TCP port of 127.0.0.1 that nobody listens on. It lies below the ports that systems give to outgoing connections
 * (32768 and up on Linux, 49152 on others), so that none of those takes it while its server is being restarted, and
 * below 55536, so that a Redis Cluster's bus port, 10000 higher, exists.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(20_000, 32_000)
    const server = createServer()
    try {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      return port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    } finally {
      server.close()
    }
  }
  throw new Error('no free port between 20000 and 32000')
}
