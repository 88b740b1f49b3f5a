import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Answer, PlacesService } from './places-service.ts'

const page = readFileSync(new URL('../public/index.html', import.meta.url))

/** Recorded requests a second while the page asks for traffic. */
const trafficRate = 100

/** How many answers are kept for the page: those of a second, so that each of its events overlaps with the last. */
const recentLength = trafficRate

/**
 * Serves the app on 127.0.0.1; resolves when it listens. `ids` are the recorded requests that the page can have
 * replayed, again and again. Port 0 is any free one.
 *
 * - `GET /` the page, `GET /events` its numbers as server-sent events, `GET /metrics` the same once
 * - `GET /places/<id>/nearest` the answer itself
 * - `PUT /traffic`, `DELETE /traffic` starts and stops the recorded requests, `DELETE /cache` clears the cache
 */
export async function serve(
  backend: string,
  service: PlacesService,
  ids: readonly number[],
  port: number,
): Promise<Server> {
  const recent: object[] = []
  let answered = 0
  let traffic: NodeJS.Timeout | undefined
  let position = 0

  async function answer(id: number): Promise<Answer | undefined> {
    const found = await service.nearest(id)
    if (!found) return undefined
    const { place, hit, milliseconds } = found
    recent.push({ number: ++answered, ...place, hit, milliseconds })
    if (recent.length > recentLength) recent.shift()
    return found
  }

  function startTraffic(): void {
    traffic ??= setInterval(() => {
      answer(ids[position++ % ids.length] as number).catch(report)
    }, 1000 / trafficRate)
  }

  function stopTraffic(): void {
    clearInterval(traffic)
    traffic = undefined
  }

  const snapshot = (): object => ({
    backend,
    traffic: traffic !== undefined,
    ...service.metrics,
    recent,
  })

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/'] = (request.url ?? '/').split('?')
    const place = /^\/places\/(\d+)\/nearest$/.exec(path)
    const route = `${request.method} ${place ? '/places' : path}`
    switch (route) {
      case 'GET /':
        response.setHeader('content-type', 'text/html; charset=utf-8')
        response.end(page)
        break
      case 'GET /places': {
        const found = await answer(Number(place?.[1]))
        if (found) sendJson(response, 200, found)
        else sendJson(response, 404, { error: 'There is no place with this id' })
        break
      }
      case 'GET /metrics':
        sendJson(response, 200, snapshot())
        break
      case 'GET /events': {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
        const send = (): boolean => response.write(`data: ${JSON.stringify(snapshot())}\n\n`)
        send()
        const timer = setInterval(send, 500)
        response.on('close', () => clearInterval(timer))
        break
      }
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
      default:
        sendJson(response, 404, { error: `There is no ${request.method} ${path}` })
    }
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(error => {
      report(error)
      sendJson(response, 500, { error: 'This went wrong; the terminal says why' })
    })
  })
  server.on('close', stopTraffic)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return server
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(`${JSON.stringify(body)}\n`)
}

function report(error: unknown): void {
  console.error(error instanceof Error ? error.message : error)
}
