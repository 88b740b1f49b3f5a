import { type CacheBackend, isCacheError } from '@cachekit/core'
import type { Server, ServiceName } from '@cachekit/testing/start-server'
import type { Arguments } from './arguments.ts'

export interface OpenStore {
  readonly backend: CacheBackend
  /** Its server without user and password, for people; absent where it is the memory of this process. */
  readonly server?: string
  /** The server if it was started here; to be closed after the backend. */
  readonly ownServer?: Server
}

/** Why a store cannot be used, in words for whoever started the app. */
export class StoreProblem extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Connects to the store at the given URL or, without one, to a server that is started for it. Rejects with `StoreProblem`. */
export async function openStore({ backend: name, store, url }: Arguments): Promise<OpenStore> {
  if (store.url === undefined) return { backend: await store.create() }
  if (url !== undefined) return { backend: await connect(name, url, store.create), server: withoutSecrets(url) }
  const ownServer = await start(name as ServiceName, store.url)
  return { backend: await connect(name, ownServer.url, store.create), server: withoutSecrets(ownServer.url), ownServer }
}

async function start(name: ServiceName, exampleUrl: string): Promise<Server> {
  // Loaded only here: it is what finds servers for the tests.
  const { startServer } = await import('@cachekit/testing/start-server')
  process.stderr.write(`Starting ${name}\n`)
  return startServer(name, { report: line => process.stderr.write(`  ${line}\n`) }).catch(error => {
    const advice = `Start one with "docker compose up -d ${name}" and say --url ${exampleUrl}, or leave --backend out.`
    throw new StoreProblem(1, `${error.message}\n${advice}`)
  })
}

async function connect(
  name: string,
  url: string,
  create: (url: string) => Promise<CacheBackend>,
): Promise<CacheBackend> {
  try {
    const backend = await create(url)
    await backend.open()
    return backend
  } catch (error) {
    if (!isCacheError(error)) throw error
    if (error.code === 'CACHE_INVALID_ARGUMENT') throw new StoreProblem(2, `--url: ${error.message}`)
    // If the store may be there later (`retryable`), it is not there now; else it is, and has said what it minds.
    const advice = `Start one with "docker compose up -d ${name}", or leave --url out, and the demo starts one.`
    const message = `Cannot use ${name} at ${withoutSecrets(url)}: ${error.message}`
    throw new StoreProblem(1, error.retryable ? `${message}\n${advice}` : message)
  }
}

function withoutSecrets(url: string): string {
  const shown = new URL(url)
  shown.username = ''
  shown.password = ''
  shown.search = ''
  return shown.href
}
