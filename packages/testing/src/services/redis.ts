import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { fetchDebian, libraryPath } from '../fetch-program.ts'
import { findProgram } from '../find-program.ts'
import type { ServiceDefinition } from '../service.ts'

export const redis: ServiceDefinition = {
  name: 'redis',
  defaultPort: 6379,
  url: (host, port) => `redis://${host}:${port}`,

  find() {
    const file = findProgram('redis-server')
    return file === undefined ? undefined : { file }
  },

  async fetch(report) {
    // The program itself is in redis-tools; redis-server links to it.
    const root = await fetchDebian(['redis-server', 'redis-tools'], report)
    return { file: join(root, 'usr/bin/redis-server'), env: { LD_LIBRARY_PATH: libraryPath(root) } }
  },

  async prepare(_program, folder) {
    await writeFile(join(folder, 'redis.conf'), '') // a Sentinel keeps its state in its configuration file
  },
  programArgs: (port, folder) => [
    ...[join(folder, 'redis.conf'), '--port', `${port}`],
    ...['--bind', '127.0.0.1', '--dir', folder, '--save', ''],
  ],
  containerCommand: port => [
    ...['sh', '-c', 'touch redis.conf && exec redis-server redis.conf "$@"', 'sh'],
    ...['--port', `${port}`, '--bind', '0.0.0.0', '--protected-mode', 'no', '--save', ''],
  ],

  async version(url) {
    // disconnectTimeout: after disconnect() ioredis may hold the process for that long, 2 s by default.
    const client = new Redis(url, {
      lazyConnect: true,
      retryStrategy: () => null,
      connectTimeout: 2000,
      disconnectTimeout: 100,
    })
    client.on('error', () => {})
    try {
      await client.connect()
      const info = await client.info('server')
      return /redis_version:(\S+)/.exec(info)?.[1]
    } catch (error) {
      // A server with a password of the test's own answers, and that is all that is asked here.
      if (/NOAUTH|WRONGPASS|NOPERM/.test(String(error))) return undefined
      throw error
    } finally {
      client.disconnect()
    }
  },
}
