import { once } from 'node:events'

/** Ends the broker and, with it, the servers. */
export default async function globalTeardown(): Promise<void> {
  const broker = globalThis.cachekitBroker
  if (broker === undefined || broker.exitCode !== null) return
  broker.ref()
  broker.stdin?.end()
  await once(broker, 'exit')
}
