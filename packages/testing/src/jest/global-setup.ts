import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

declare global {
  var cachekitBroker: ChildProcess | undefined
}

/** Starts the broker, which starts the servers as the tests ask for them. */
export default async function globalSetup(): Promise<void> {
  const broker = spawn(process.execPath, [join(import.meta.dirname, '../broker.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true, // Ctrl-C must not end it before it has stopped its servers
  })
  broker.unref()
  const [url] = await once(broker.stdout.setEncoding('utf8'), 'data')
  process.env.CACHEKIT_BROKER = url.trim()
  globalThis.cachekitBroker = broker
}
