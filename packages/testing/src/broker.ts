// The process that holds the servers of one test run: `node broker.ts`. It answers GET /<service> with a Resolution:
// the server is started at the first question and shared by all who ask. GET / lists what was asked for so far. It prints
// its URL, and ends with all of its servers when its standard input does: at the end of the run, however that came.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ResolvedService, resolveService } from './resolve-service.ts'
import { type Resolution, type ServiceName, serviceNames } from './service.ts'

const services = new Map<ServiceName, Promise<ResolvedService>>()

function report(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function resolution(name: ServiceName): Promise<Resolution> {
  let resolved = services.get(name)
  if (resolved === undefined) {
    resolved = resolveService(name, { report })
    services.set(name, resolved)
  }
  try {
    const { url, host, port, way, version } = await resolved
    return { name, service: { name, url, host, port, way, version } }
  } catch (error) {
    return { name, problem: (error as Error).message }
  }
}

const http = createServer(async (request, response) => {
  const name = serviceNames.find(known => request.url === `/${known}`)
  const answer = name === undefined ? await Promise.all([...services.keys()].map(resolution)) : await resolution(name)
  response.end(JSON.stringify(answer))
})
http.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(http.address() as AddressInfo).port}\n`)
})

process.stdin.resume().once('close', async () => {
  await Promise.allSettled([...services.values()].map(async resolved => (await resolved).close()))
  process.exit()
})
