// The process that holds the servers of one test run: `node broker.ts`. It answers GET /<service> with a Resolution:
// the server is started at the first question and shared by all who ask; GET /chromium finds the browser. GET / lists
// what was asked for so far. It prints its URL, and ends with all of its servers when its standard input does: at the end
// of the run, however that came.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolveBrowser } from './resolve-browser.ts'
import { type ResolvedService, resolveService } from './resolve-service.ts'
import { type Browser, type RequirementName, type Resolution, requirementNames } from './service.ts'

const resolved = new Map<RequirementName, Promise<ResolvedService | Browser>>()

function report(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function resolution(name: RequirementName): Promise<Resolution> {
  let finding = resolved.get(name)
  if (finding === undefined) {
    finding = name === 'chromium' ? resolveBrowser(report) : resolveService(name, { report })
    resolved.set(name, finding)
  }
  try {
    return { name, found: await finding }
  } catch (error) {
    return { name, problem: (error as Error).message }
  }
}

const http = createServer(async (request, response) => {
  const name = requirementNames.find(known => request.url === `/${known}`)
  const answer = name === undefined ? await Promise.all([...resolved.keys()].map(resolution)) : await resolution(name)
  response.end(JSON.stringify(answer)) // without the methods of a server, which stay here
})
http.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(http.address() as AddressInfo).port}\n`)
})

process.stdin.resume().once('close', async () => {
  const closings = [...resolved.values()].map(async finding => {
    const found = await finding
    if ('close' in found) await found.close()
  })
  await Promise.allSettled(closings)
  process.exit()
})
