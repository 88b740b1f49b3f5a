import { setTimeout as sleep } from 'node:timers/promises'
import type { Server, ServiceDefinition, Way } from './service.ts'

/** One process or container, which a server runs in. */
export interface Instance {
  readonly host: string
  readonly port: number
  /** What is started, where the server itself does not say. */
  readonly version?: string | undefined
  /** Also after `stop()` and `kill()`: on the same port, with the same data. */
  start(): Promise<void>
  stop(): Promise<void>
  kill(): Promise<void>
  freeze(): Promise<void>
  resume(): Promise<void>
  remove(): Promise<void>
  /** The end of what it has logged, once it has ended by itself. */
  lastWords(): Promise<string | undefined>
}

/** How long a server may take from its start until it serves. */
const startTimeout = 60_000

/** Starts the instance and makes a server of it as soon as it serves. Whatever fails, nothing is left running. */
export async function serve(definition: ServiceDefinition, way: Way, instance: Instance): Promise<Server> {
  const url = definition.url(instance.host, instance.port)

  async function start(): Promise<string | undefined> {
    await instance.start()
    const deadline = Date.now() + startTimeout
    for (;;) {
      try {
        return await definition.version(url)
      } catch (error) {
        const lastWords = await instance.lastWords()
        if (lastWords !== undefined) throw new Error(`${definition.name} ended as it started:\n${lastWords}`)
        if (Date.now() > deadline) throw new Error(`${definition.name} does not serve at ${url}`, { cause: error })
        await sleep(50)
      }
    }
  }

  async function close(): Promise<void> {
    await instance.kill()
    await instance.remove()
  }

  try {
    const version = await start()
    await definition.initialize?.(url)
    const { name } = definition
    return {
      name,
      url,
      host: instance.host,
      port: instance.port,
      way,
      version: version ?? instance.version ?? 'unknown',
      stop: () => instance.stop(),
      kill: () => instance.kill(),
      freeze: () => instance.freeze(),
      resume: () => instance.resume(),
      async restart() {
        await instance.stop()
        await start()
      },
      close,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
