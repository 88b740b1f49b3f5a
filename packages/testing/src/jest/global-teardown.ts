import { once } from 'node:events'

/** How long the servers may take to end, in milliseconds, before the broker is killed and their guards end them. */
const closeTimeout = 20_000

/** How long jest may take to leave when all is done, in milliseconds. */
const exitTimeout = 5_000

/** Ends the broker and, with it, the servers. */
export default async function globalTeardown(options: { watch: boolean; watchAll: boolean }): Promise<void> {
  const broker = globalThis.cachekitBroker
  if (broker !== undefined && broker.exitCode === null) {
    broker.ref()
    broker.stdin?.end()
    const kill = setTimeout(() => broker.kill('SIGKILL'), closeTimeout)
    await once(broker, 'exit')
    clearTimeout(kill)
  }
  if (!options.watch && !options.watchAll) setTimeout(failToExit, exitTimeout).unref()
}

/** A run that does not end is a failure to be seen, not a wait for ever. */
function failToExit(): void {
  const held = process.getActiveResourcesInfo().join(', ')
  process.stderr.write(`The tests are done, and something that they left keeps the run from ending: ${held}\n`)
  process.exit(1)
}
