import { isCacheError } from '@cachekit/core'
import { type Arguments, readArguments } from './arguments.ts'
import { openOrigin } from './origin.ts'
import { PlacesService } from './places-service.ts'
import { formatTable, replay } from './replay.ts'
import { serve } from './server.ts'
import { readTrace } from './trace.ts'

const options = readArguments()
const origin = openOrigin()
const uncached = new PlacesService(origin, undefined)
const cached = await openCached(options)
const requests = readTrace(origin.size)
const ids = requests.slice(0, options.requests)

console.log(`What is near a place? ${origin.size.toLocaleString('en')} places of the world (GeoNames, CC BY 4.0) in SQLite,
${ids.length.toLocaleString('en')} recorded requests for ${new Set(ids).size.toLocaleString('en')} of them \
(cache2k benchmark suite, CC BY 4.0), one after the other.\n`)

const results = [await replay('without cache', uncached, ids), await replay(options.backend, cached, ids)]
console.log(`\n${formatTable(results)}`)
await uncached.close()

if (options.exit) await cached.close()
else await serveUntilInterrupted()

/** The service on the chosen store, with nothing cached yet: what an earlier run left would make it look too good. */
async function openCached({ backend, store, url, shownUrl }: Arguments): Promise<PlacesService> {
  try {
    const service = new PlacesService(origin, store.create(url))
    await service.open()
    await service.clear()
    return service
  } catch (error) {
    if (!isCacheError(error)) throw error
    if (error.code === 'CACHE_INVALID_ARGUMENT') return fail(2, `--url: ${error.message}`)
    const advice = `Start one with "docker compose up -d ${backend}", say with --url where it is, or leave --backend out.`
    // If the store may be there later (`retryable`), it is not there now; else it is, and has said what it minds.
    return fail(1, `Cannot use ${backend} at ${shownUrl}: ${error.message}${error.retryable ? `\n${advice}` : ''}`)
  }
}

async function serveUntilInterrupted(): Promise<void> {
  const server = await serve(options.backend, cached, requests, options.port).catch(error =>
    fail(1, `Cannot listen on port ${options.port}: ${error.message}`),
  )
  const address = server.address()
  console.log(`\nServing on http://127.0.0.1:${typeof address === 'object' && address?.port}/ until Ctrl-C`)
  const stop = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await cached.close()
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
}

function fail(status: number, message: string): never {
  console.error(message)
  process.exit(status)
}
