import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fetchDebian, libraryPath } from './fetch-program.ts'
import { findProgram } from './find-program.ts'
import { programInstance } from './program-instance.ts'
import { serve } from './server.ts'
import type { Program, Server, Service } from './service.ts'
import { postgres } from './services/postgres.ts'

/**
 * A PgBouncer in transaction mode before a PostgreSQL: each transaction gets one of two connections to it. Everybody may
 * come in, as `postgres`.
 */
export async function startPgBouncer({ host, port: serverPort }: Service): Promise<Server> {
  const program = findPgBouncer() ?? (await fetchPgBouncer())
  const definition = {
    ...postgres,
    programArgs(port: number, folder: string) {
      const settings = join(folder, 'pgbouncer.ini') // it takes them from nowhere else
      writeFileSync(
        settings,
        `[databases]
        * = host=${host} port=${serverPort} user=postgres password=cachekit
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = ${port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = 2
        max_client_conn = 500`,
      )
      return [settings]
    },
    prepare: async () => {},
  }
  return serve(definition, 'local', await programInstance(definition, program, []))
}

function findPgBouncer(): Program | undefined {
  const file = findProgram('pgbouncer')
  return file === undefined ? undefined : { file }
}

async function fetchPgBouncer(): Promise<Program> {
  const root = await fetchDebian(['pgbouncer'], () => {})
  return { file: join(root, 'usr/sbin/pgbouncer'), folder: root, env: { LD_LIBRARY_PATH: libraryPath(root) } }
}
