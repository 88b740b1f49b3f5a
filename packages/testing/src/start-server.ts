import { containerInstances, dockerClient } from './container-instance.ts'
import { programInstance } from './program-instance.ts'
import { type Instance, serve } from './server.ts'
import type { Program, Report, Server, ServiceDefinition, ServiceName, Way } from './service.ts'
import { definitionOf } from './services/index.ts'

export type { Server, ServiceName } from './service.ts'

export interface StartOptions {
  /** Passed to the server after our own arguments, e.g. `['--maxmemory', '2mb']`. Default: none. */
  readonly args?: readonly string[]
  /** The ways to try, in this order. Default: those in `CACHEKIT_WAYS`, else `docker,local,fetched`. */
  readonly ways?: readonly StartWay[]
  /** Is told what takes long, and which way failed. Default: nobody. */
  readonly report?: Report
}

/** Starts a server of one's own. Rejects when it cannot be had, with what is missing on each way. */
export async function startServer(name: ServiceName, { args = [], ...options }: StartOptions = {}): Promise<Server> {
  const [server] = await startServers(name, [args], options)
  return server as Server
}

/** Starts several servers that reach one another at their addresses, one for each list of extra arguments. */
export async function startServers(
  name: ServiceName,
  argsOfEach: readonly (readonly string[])[],
  options: Omit<StartOptions, 'args'> = {},
): Promise<Server[]> {
  const { ways = defaultWays(), report = () => {} } = options
  const definition = await definitionOf(name)
  const problems: string[] = []
  for (const way of ways) {
    try {
      const instances = await instancesBy[way](definition, argsOfEach, report)
      if (instances !== undefined) return await serveAll(definition, way, instances)
      problems.push(missing[way])
    } catch (error) {
      const problem = `${way}: ${(error as Error).message}`
      report(`${name}: ${problem}`)
      problems.push(problem)
    }
  }
  throw new Error(`${name} cannot be had (${problems.join('; ')})`)
}

type StartWay = Exclude<Way, 'url'>

/** The ways in `CACHEKIT_WAYS`, else all. */
export function defaultWays(): StartWay[] {
  const ways = (process.env.CACHEKIT_WAYS ?? 'docker,local,fetched').split(',') as StartWay[]
  const unknown = ways.find(way => !(way in instancesBy))
  if (unknown !== undefined) throw new Error(`CACHEKIT_WAYS names "${unknown}"; it takes some of docker,local,fetched`)
  return ways
}

/** Prepares instances, not yet started; `undefined` where this way does not exist on this machine. */
type Prepare = (
  definition: ServiceDefinition,
  argsOfEach: readonly (readonly string[])[],
  report: Report,
) => Promise<Instance[] | undefined>

const instancesBy: Readonly<Record<StartWay, Prepare>> = {
  async docker(definition, argsOfEach) {
    const client = await dockerClient()
    return client === undefined ? undefined : containerInstances(client, definition, argsOfEach)
  },
  async local(definition, argsOfEach) {
    const program = definition.find()
    return program === undefined ? undefined : programInstances(definition, program, argsOfEach)
  },
  async fetched(definition, argsOfEach, report) {
    const program = await definition.fetch?.(report)
    return program === undefined ? undefined : programInstances(definition, program, argsOfEach)
  },
}

const missing = {
  docker: 'no Docker daemon answers',
  local: 'no such program on this machine',
  fetched: 'in no package registry',
}

function programInstances(
  definition: ServiceDefinition,
  program: Program,
  argsOfEach: readonly (readonly string[])[],
): Promise<Instance[]> {
  return Promise.all(argsOfEach.map(args => programInstance(definition, program, args)))
}

/** All of them or none. */
async function serveAll(definition: ServiceDefinition, way: Way, instances: readonly Instance[]): Promise<Server[]> {
  const results = await Promise.allSettled(instances.map(instance => serve(definition, way, instance)))
  const servers = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const failure = results.find(result => result.status === 'rejected')
  if (failure === undefined) return servers
  await Promise.all(servers.map(server => server.close()))
  throw failure.reason
}
