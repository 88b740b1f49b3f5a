// Looks for flakes: `node --conditions=@cachekit/source packages/core/test/repeat-conformance.ts 200` runs the whole kit so
// many times on correct backends, each kind in turn, and ends at the first failure.
import { type ConformanceOptions, runConformance } from '../src/conformance/index.ts'
import { onOneStore } from './mutants/killer.ts'
import { LiveBackend } from './mutants/live-backend.ts'
import { NetworkBackend } from './mutants/network-backend.ts'
import { ReferenceBackend } from './mutants/reference-backend.ts'
import { ReferenceServer } from './mutants/reference-server.ts'

const runs = Number(process.argv[2] ?? 10)
const server = await new ReferenceServer().start()
const address = { host: server.host, port: server.port }
const kinds: Record<string, ConformanceOptions> = {
  'the clock of the caller': onOneStore(ReferenceBackend),
  'the clock of the store': onOneStore(ReferenceBackend, { clock: 'store' }),
  'a store each': onOneStore(ReferenceBackend, { shared: false, iteration: false, evicts: true }),
  'a live view': onOneStore(LiveBackend, { shared: false }),
  'a network that fails': { create: (options, given = address) => new NetworkBackend(given, options), server: address },
}

let longest = 0
for (let run = 0; run < runs; run++) {
  const [kind, options] = Object.entries(kinds)[run % Object.keys(kinds).length] as [string, ConformanceOptions]
  const { passed, results, milliseconds } = await runConformance(options)
  longest = Math.max(longest, milliseconds)
  console.log(`${run + 1}: ${kind}, ${results.length} cases, ${milliseconds} ms`)
  if (passed) continue
  for (const { status, title, reason } of results) if (status === 'failed') console.log(`FAILED ${title}\n  ${reason}`)
  process.exit(1)
}
await server.stop()
console.log(`${runs} runs in a row without a failure; the longest took ${longest} ms.`)
