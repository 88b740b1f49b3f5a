import { once } from 'node:events'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { fetchDebian, libraryPath } from '../fetch-program.ts'
import { findProgram } from '../find-program.ts'
import type { ServiceDefinition } from '../service.ts'

export const memcached: ServiceDefinition = {
  name: 'memcached',
  defaultPort: 11211,
  url: (host, port) => `memcached://${host}:${port}`,

  find() {
    const file = findProgram('memcached')
    return file === undefined ? undefined : { file }
  },
  async fetch(report) {
    const root = await fetchDebian(['memcached'], report)
    return { file: join(root, 'usr/bin/memcached'), env: { LD_LIBRARY_PATH: libraryPath(root) } }
  },
  // It refuses to run as root unless root is named.
  programArgs: port => ['-p', `${port}`, '-l', '127.0.0.1', '-u', userInfo().username],
  containerCommand: port => ['memcached', '-p', `${port}`],

  async version(url) {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), timeout: 2000 })
    socket.once('timeout', () => socket.destroy(new Error(`${url} does not answer`)))
    try {
      socket.write('version\r\n')
      const [reply] = await once(socket, 'data')
      return /^VERSION (\S+)/.exec(String(reply))?.[1]
    } finally {
      socket.destroy()
    }
  },
}
