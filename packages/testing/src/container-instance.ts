import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainerRuntimeClient, StartedTestContainer } from 'testcontainers'
import { parse } from 'yaml'
import { freePort } from './free-port.ts'
import { guard } from './guard.ts'
import type { Instance } from './server.ts'
import type { ServiceDefinition, ServiceName } from './service.ts'

/** What is read of docker-compose.yml, the one list of images. */
interface ComposeService {
  readonly image: string
  readonly environment?: Readonly<Record<string, string>>
}

/** How long a server may take to end by itself before Docker kills it, in seconds. */
const stopTimeout = 5

/** The Docker daemon, as Testcontainers finds it, or `undefined` if none answers. */
export async function dockerClient(): Promise<ContainerRuntimeClient | undefined> {
  // Loaded here because it takes half a second, which is only worth while where there may be a daemon.
  const { getContainerRuntimeClient } = await import('testcontainers')
  return getContainerRuntimeClient().catch(() => undefined)
}

/**
 * Containers, one for each list of extra arguments. Several share one network, so that they reach one another, and we
 * reach them, at the same addresses; its ports belong to a container that only sleeps, and outlives each of them.
 * They are removed if this process dies: by Testcontainers' Ryuk and, as that is often turned off, by a guard.
 */
export async function containerInstances(
  client: ContainerRuntimeClient,
  definition: ServiceDefinition,
  argsOfEach: readonly (readonly string[])[],
): Promise<Instance[]> {
  // A port is the same inside and outside. It stays when the container is started again, and a server that tells its
  // address to clients, as a replica set or a cluster does, tells one that is right on both sides.
  const ports = await Promise.all(argsOfEach.map(() => freePort()))
  if (argsOfEach.length === 1) return [containerInstance(client, definition, argsOfEach[0] ?? [], ports[0] ?? 0)]

  const network = await startContainer(client, definition.name, ['sleep', 'infinity'], { ports })
  let members = argsOfEach.length
  return argsOfEach.map((args, index) => {
    const instance = containerInstance(client, definition, args, ports[index] ?? 0, `container:${network.getId()}`)
    return {
      ...instance,
      async remove() {
        await instance.remove()
        if (--members === 0) await network.stop({ timeout: 0 })
      },
    }
  })
}

function containerInstance(
  client: ContainerRuntimeClient,
  definition: ServiceDefinition,
  extraArgs: readonly string[],
  port: number,
  networkMode?: string,
): Instance {
  let started: StartedTestContainer | undefined
  let frozen = false
  const { host } = client.info.containerRuntime

  /** Asks Docker; that the container is already as wanted (304, 409) or gone (404) is no failure. */
  async function ask(
    action: (container: ReturnType<typeof client.container.getById>) => Promise<unknown>,
  ): Promise<void> {
    if (started === undefined) return
    await action(client.container.getById(started.getId())).catch((error: { statusCode?: number }) => {
      if (![304, 404, 409].includes(error.statusCode ?? 0)) throw error
    })
  }

  async function resume(): Promise<void> {
    if (frozen) await ask(container => container.unpause())
    frozen = false
  }

  return {
    host: host === 'localhost' ? '127.0.0.1' : host,
    port,
    version: composeService(definition.name).image.split(':').at(-1),

    async start() {
      if (started !== undefined) return ask(container => container.start())
      const command = [...definition.containerCommand(port), ...extraArgs]
      const place = networkMode === undefined ? { ports: [port] } : { networkMode }
      started = await startContainer(client, definition.name, command, place)
    },
    async stop() {
      await resume() // Docker does not stop what is paused
      await ask(container => container.stop({ t: stopTimeout }))
    },
    async kill() {
      await resume()
      await ask(container => container.kill())
    },
    async freeze() {
      await ask(container => container.pause())
      frozen = true
    },
    resume,
    remove: () => ask(container => container.remove({ force: true, v: true })),

    async lastWords() {
      if (started === undefined) return undefined
      const container = client.container.getById(started.getId())
      if ((await container.inspect()).State.Running) return undefined
      return String(await container.logs({ stdout: true, stderr: true, tail: 20 }))
    },
  }
}

interface Place {
  readonly ports?: readonly number[]
  readonly networkMode?: string
}

async function startContainer(
  client: ContainerRuntimeClient,
  name: ServiceName,
  command: readonly string[],
  { ports = [], networkMode }: Place,
): Promise<StartedTestContainer> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const { image, environment = {} } = composeService(name)

  /** Nobody but this machine may reach a server without a password. */
  class LoopbackContainer extends GenericContainer {
    protected override async beforeContainerCreated(): Promise<void> {
      if (client.info.containerRuntime.host !== 'localhost') return
      for (const bindings of Object.values(this.hostConfig.PortBindings ?? {})) {
        for (const binding of bindings as { HostIp?: string }[]) binding.HostIp = '127.0.0.1'
      }
    }
  }

  const container = new LoopbackContainer(image).withCommand([...command]).withEnvironment({ ...environment })
  if (networkMode !== undefined) container.withNetworkMode(networkMode)
  container.withWaitStrategy(Wait.forSuccessfulCommand('true')) // that it runs; `serve` waits until it serves
  const started = await container.withExposedPorts(...ports.map(port => ({ container: port, host: port }))).start()
  guard('docker rm --force --volumes "$1"', started.getId())
  return started
}

function composeService(name: ServiceName): ComposeService {
  const file = join(import.meta.dirname, '../../../docker-compose.yml')
  const { services } = parse(readFileSync(file, 'utf8')) as { services: Record<string, ComposeService | undefined> }
  const service = services[name]
  if (service === undefined) throw new Error(`docker-compose.yml has no service "${name}"`)
  return service
}
