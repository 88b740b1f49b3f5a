import { readArguments } from './arguments.ts'
import { openStore, StoreProblem } from './open-store.ts'
import { Origin } from './origin.ts'
import { PlacesService } from './places-service.ts'
import { formatTable, replay } from './replay.ts'
import { addressOf, serve } from './server.ts'
import { readTrace } from './trace.ts'

const options = readArguments()
const {
  backend,
  server: storeServer,
  ownServer,
} = await openStore(options).catch(error => {
  if (error instanceof StoreProblem) return fail(error.status, error.message)
  throw error
})
const origin = new Origin()
const uncached = new PlacesService(origin, undefined)
const cached = new PlacesService(origin, backend)
const requests = readTrace(origin.size)
const ids = requests.slice(0, options.requests)

if (ownServer) console.log(`Started ${options.backend} ${ownServer.version} at ${storeServer}.\n`)
console.log(`What is near a place? ${origin.size.toLocaleString('en')} places of the world (GeoNames, CC BY 4.0) in SQLite,
${ids.length.toLocaleString('en')} recorded requests for ${new Set(ids).size.toLocaleString('en')} of them \
(cache2k benchmark suite, CC BY 4.0), one after the other.\n`)

await cached.clear() // what an earlier run left would make it look too good
const results = [await replay('without cache', uncached, ids), await replay(options.backend, cached, ids)]
console.log(`\n${formatTable(results)}`)

if (options.exit) await close()
else await serveUntilInterrupted()

async function serveUntilInterrupted(): Promise<void> {
  const server = await serve({
    store: { backend: options.backend, ...(storeServer === undefined ? {} : { server: storeServer }) },
    ownServer,
    origin,
    service: cached,
    uncached,
    ids: requests,
    port: options.port,
  }).catch(async error => {
    await close()
    return fail(1, `Cannot listen on port ${options.port}: ${error.message}`)
  })
  console.log(`\nServing on ${addressOf(server)}/ until Ctrl-C`)
  const stop = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await close()
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
}

async function close(): Promise<void> {
  await ownServer?.resume() // the page may have stopped it, and then the cache would wait for it
  await cached.close()
  await uncached.close()
  await ownServer?.close()
}

function fail(status: number, message: string): never {
  console.error(message)
  process.exit(status)
}
