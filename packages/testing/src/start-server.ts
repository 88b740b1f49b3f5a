import { programInstance } from './program-instance.ts'
import { serve } from './server.ts'
import type { Program, Report, Server, ServiceName, Way } from './service.ts'
import { definitions } from './services/index.ts'

export interface StartOptions {
  /** Passed to the server's program after our own, e.g. `['--maxmemory', '2mb']`. */
  readonly args?: readonly string[] | undefined
  /** The ways to try, in this order. Default: a container, a program of this machine, a fetched program. */
  readonly ways?: readonly Exclude<Way, 'url'>[] | undefined
  /** Is told what takes long. Default: nobody. */
  readonly report?: Report | undefined
}

/** Starts a server of one's own. Rejects when it cannot be had, with what was missing on each way. */
export async function startServer(name: ServiceName, options: StartOptions = {}): Promise<Server> {
  const { args = [], ways = ['docker', 'local', 'fetched'], report = () => {} } = options
  const definition = definitions[name]!
  const missing: string[] = []
  for (const way of ways) {
    try {
      if (way === 'docker') continue
      const program: Program | undefined = way === 'local' ? await definition.find() : await definition.fetch(report)
      if (program === undefined) continue
      return await serve(definition, way, await programInstance(definition, program, args))
    } catch (error) {
      missing.push(String(error))
    }
  }
  throw new Error(`${name}: ${missing.join('; ')}`)
}
