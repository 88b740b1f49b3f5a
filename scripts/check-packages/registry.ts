import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { runServer } from 'verdaccio'

export interface Registry {
  readonly url: string
  close(): Promise<void>
}

/**
 * A package registry of this process, for `@cachekit/*` and nothing else: a scope has a registry of its own in npm, so
 * that everything else comes from wherever the user's npm is configured to get it.
 */
export async function startRegistry(folder: string): Promise<Registry> {
  const configPath = join(folder, 'config.yaml') // need not exist: paths in the configuration are relative to it
  const server: Server = await runServer({
    configPath,
    self_path: configPath,
    storage: join(folder, 'storage'),
    uplinks: {},
    packages: { '@cachekit/*': { access: '$all', publish: '$all' } },
    log: { type: 'stdout', format: 'pretty', level: 'fatal' },
    web: { enable: false },
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
