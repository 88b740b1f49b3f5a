import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DeleteDuringLoad } from './experiments/delete-during-load.ts'
import { OriginOutage } from './experiments/origin-outage.ts'
import { Stampede } from './experiments/stampede.ts'
import { type StoppableServer, StoreOutage } from './experiments/store-outage.ts'
import type { Origin } from './origin.ts'
import type { PlacesService, RecentAnswer } from './places-service.ts'

const page = readFileSync(new URL('../public/index.html', import.meta.url))

/** Recorded requests a second while the page asks for traffic. */
const trafficRate = 100

/** How often the page is told what is new, in milliseconds. */
const eventInterval = 100

/** A stampede connects more often at once than Node.js lets wait by default. */
const backlog = 2048

/** What the page shows of the store. */
export interface StoreDescription {
  readonly backend: string
  /** Which server it is; absent where the store is the memory of this process. */
  readonly server?: string
}

export interface ServeOptions {
  readonly store: StoreDescription
  /** The store's server, if this app has started it and may stop it. */
  readonly ownServer: StoppableServer | undefined
  readonly origin: Origin
  readonly service: PlacesService
  /** The same without a cache, to compare with. */
  readonly uncached: PlacesService
  /** Recorded requests that the page can have replayed, again and again. */
  readonly ids: readonly number[]
  /** On 127.0.0.1; 0 is any free one. */
  readonly port: number
}

/**
 * Serves the app on 127.0.0.1; resolves when it listens.
 *
 * - `GET /` the page, `GET /events` its numbers as server-sent events, `GET /metrics` the same once
 * - `GET /places/<id>/nearest` the answer itself; `?cache=no` loads it without the cache
 * - `PUT /traffic`, `DELETE /traffic` starts and stops the recorded requests, `DELETE /cache` clears the cache
 * - `POST /stampede`, `POST /delete-during-load` runs that experiment to its end
 * - `DELETE /origin`, `PUT /origin` stops and starts the origin; `DELETE /store`, `PUT /store` the store's server
 */
export async function serve(options: ServeOptions): Promise<Server> {
  const { store, ownServer, origin, service, uncached, ids, port } = options
  const stampede = new Stampede(origin, service, uncached)
  const deleteDuringLoad = new DeleteDuringLoad(origin, service)
  const originOutage = new OriginOutage(origin, service)
  const storeOutage = ownServer && new StoreOutage(ownServer, service)
  let busy = false
  let traffic: NodeJS.Timeout | undefined
  let position = 0

  function startTraffic(): void {
    traffic ??= setInterval(() => {
      service.nearest(ids[position++ % ids.length] as number).catch(() => {}) // it is counted
    }, 1000 / trafficRate)
  }

  function stopTraffic(): void {
    clearInterval(traffic)
    traffic = undefined
  }

  const snapshot = (recent: readonly RecentAnswer[]): object => ({
    store,
    traffic: traffic !== undefined,
    busy,
    ...service.metrics,
    stampede: stampede.figures,
    deleteDuringLoad: deleteDuringLoad.figures,
    originOutage: { running: originOutage.running, figures: originOutage.figures },
    storeOutage: storeOutage && { running: storeOutage.running, figures: storeOutage.figures },
    cache: service.cache.stats(),
    recent,
  })

  /** Runs what a button does, one at a time, and then answers with the numbers. */
  async function run(response: ServerResponse, experiment: () => Promise<void>): Promise<void> {
    if (busy) return sendJson(response, 409, { error: 'Something else is still under way' })
    busy = true
    try {
      await experiment()
    } finally {
      busy = false
    }
    sendJson(response, 200, snapshot([]))
  }

  async function answer(response: ServerResponse, from: PlacesService, id: number): Promise<void> {
    try {
      const found = await from.nearest(id)
      if (found) sendJson(response, 200, found)
      else sendJson(response, 404, { error: 'There is no place with this id' })
    } catch (error) {
      sendJson(response, 503, { error: (error as Error).message })
    }
  }

  function sendEvents(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    let seen = 0
    const send = (): void => {
      const fresh = service.recent.filter(({ number }) => number > seen)
      seen = service.metrics.requests
      response.write(`data: ${JSON.stringify(snapshot(fresh))}\n\n`)
    }
    send()
    const timer = setInterval(send, eventInterval)
    response.on('close', () => clearInterval(timer))
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/', query] = (request.url ?? '/').split('?')
    const place = /^\/places\/(\d+)\/nearest$/.exec(path)
    const route = `${request.method} ${place ? '/places' : path}`
    switch (route) {
      case 'GET /':
        response.setHeader('content-type', 'text/html; charset=utf-8')
        response.end(page)
        break
      case 'GET /places':
        return answer(response, query === 'cache=no' ? uncached : service, Number(place?.[1]))
      case 'GET /metrics':
        sendJson(response, 200, snapshot(service.recent))
        break
      case 'GET /events':
        sendEvents(response)
        break
      case 'PUT /traffic':
        startTraffic()
        response.writeHead(204).end()
        break
      case 'DELETE /traffic':
        stopTraffic()
        response.writeHead(204).end()
        break
      case 'DELETE /cache':
        await service.clear()
        response.writeHead(204).end()
        break
      case 'POST /stampede':
        return run(response, () => stampede.run(addressOf(server)))
      case 'POST /delete-during-load':
        return run(response, () => deleteDuringLoad.run())
      case 'DELETE /origin':
        return run(response, () => originOutage.stop())
      case 'PUT /origin':
        return run(response, () => originOutage.start())
      case 'DELETE /store':
      case 'PUT /store':
        if (!storeOutage) return sendJson(response, 409, { error: 'This app did not start the store' })
        return run(response, () => (request.method === 'PUT' ? storeOutage.start() : storeOutage.stop()))
      default:
        sendJson(response, 404, { error: `There is no ${request.method} ${path}` })
    }
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(error => {
      console.error(error)
      sendJson(response, 500, { error: error instanceof Error ? error.message : 'The terminal says why' })
    })
  })
  server.on('close', () => {
    stopTraffic()
    originOutage.end()
    storeOutage?.end()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host: '127.0.0.1', backlog }, resolve)
  })
  return server
}

export function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(`${JSON.stringify(body)}\n`)
}
