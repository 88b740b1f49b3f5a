import { type RequirementName, requirementNames, type Service, type ServiceName, variableOf } from './service.ts'
import { definitionOf } from './services/index.ts'
import { type StartOptions, startServer } from './start-server.ts'

/** A service that tests share: the server in the environment, or one of ours. */
export interface ResolvedService extends Service {
  /** Ends the server if it is ours. */
  close(): Promise<void>
}

/**
 * Finds a service: by its URL in the environment (`CACHEKIT_REDIS_URL` and so on), else by the ways of `startServer`.
 * A server in the environment that does not answer is an error, never a reason to take another.
 */
export async function resolveService(name: ServiceName, options: StartOptions = {}): Promise<ResolvedService> {
  const url = process.env[variableOf(name)]
  if (url === undefined || url === '') return startServer(name, options)
  try {
    const definition = await definitionOf(name)
    const { hostname, port } = new URL(url)
    const version = (await definition.version(url)) ?? 'unknown'
    return {
      name,
      url,
      host: hostname,
      port: Number(port) || definition.defaultPort,
      way: 'url',
      version,
      close: async () => {},
    }
  } catch (error) {
    // The URL may hold a password, and so may a message that quotes it.
    throw new Error(`the server in ${variableOf(name)} cannot be reached`, { cause: error })
  }
}

/** Whether tests must fail where this is not to be had, rather than be skipped. */
export function isRequired(name: RequirementName): boolean {
  const { CI, CACHEKIT_REQUIRE = '' } = process.env
  const required = CACHEKIT_REQUIRE.split(',').filter(entry => entry !== '')
  for (const entry of required) {
    if (entry !== 'all' && !(requirementNames as readonly string[]).includes(entry)) {
      throw new Error(`CACHEKIT_REQUIRE names "${entry}"; it takes "all" or some of ${requirementNames.join(',')}`)
    }
  }
  const promised = process.env[variableOf(name)] !== undefined
  return promised || CI === 'true' || required.includes('all') || required.includes(name)
}
