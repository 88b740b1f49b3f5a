// The process that holds the servers of one test run: `node broker.ts`. It answers GET /<service> with that service,
// started at the first question and shared by all who ask, and GET / with everything that was asked for so far. It
// prints its URL, and ends with all of its servers when its standard input does: at the end of the run, or of the runner.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolveService } from './resolve-service.ts'
import { type Resolution, type Server, type ServiceName, serviceNames } from './service.ts'

const servers = new Map<ServiceName, Promise<Server>>()

function report(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function resolution(name: ServiceName): Promise<Resolution> {
  let server = servers.get(name)
  if (server === undefined) {
    server = resolveService(name, report)
    servers.set(name, server)
  }
  try {
    const { url, host, port, way, version } = await server
    return { name, service: { name, url, host, port, way, version } }
  } catch (error) {
    return { name, problem: (error as Error).message, promised: false }
  }
}

const http = createServer(async (request, response) => {
  const name = serviceNames.find(known => request.url === `/${known}`)
  const answer = name === undefined ? await Promise.all([...servers.keys()].map(resolution)) : await resolution(name)
  response.end(JSON.stringify(answer))
})
http.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(http.address() as AddressInfo).port}\n`)
})

process.stdin.resume().once('close', async () => {
  const started = await Promise.allSettled(servers.values())
  await Promise.all(started.map(result => (result.status === 'fulfilled' ? result.value.close() : undefined)))
  process.exit()
})
