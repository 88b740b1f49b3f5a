import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findProgram } from '../find-program.ts'
import type { ServiceDefinition } from '../service.ts'
import { findJava } from './java.ts'

const component = 'cloud-firestore-emulator'
const jar = `platform/${component}/${component}.jar`
const main = 'com.google.cloud.datastore.emulator.firestore.CloudFirestore'

export const firestore: ServiceDefinition = {
  name: 'firestore',
  defaultPort: 8080,
  url: (host, port) => `http://${host}:${port}`,

  find() {
    const java = findJava()
    const gcloud = findProgram('gcloud')
    const kits = ['/usr/lib/google-cloud-sdk', '/usr/share/google-cloud-sdk', '/opt/google-cloud-sdk']
    if (gcloud !== undefined) kits.unshift(dirname(dirname(realpathSync(gcloud))))
    const kit = kits.find(folder => existsSync(join(folder, jar)))
    if (java === undefined || kit === undefined) return undefined
    return { ...java, args: ['-Xmx2g', '-cp', join(kit, jar), main, 'start'], version: componentVersion(kit) }
  },
  programArgs: port => ['--host=127.0.0.1', `--port=${port}`],
  containerCommand: port => ['gcloud', 'emulators', 'firestore', 'start', `--host-port=0.0.0.0:${port}`],

  // It listens before it serves: the first request of each kind takes a fresh emulator a second or more.
  async version(url) {
    const documents = `${url}/v1/projects/warm-up/databases/(default)/documents`
    const options = { headers: { authorization: 'Bearer owner' }, signal: AbortSignal.timeout(5000) }
    const body = JSON.stringify({ writes: [] })
    const answers = [
      await fetch(`${documents}/a/b`, options),
      await fetch(`${documents}:commit`, { ...options, method: 'POST', body }),
    ]
    for (const { status } of answers) if (status !== 200 && status !== 404) throw new Error(`${url} answers ${status}`)
    return undefined
  },
}

/** The emulator does not say its version; the Google Cloud CLI keeps a list of what it has installed. */
function componentVersion(kit: string): string | undefined {
  const list = join(kit, '.install', `${component}.snapshot.json`)
  return existsSync(list) ? /"version_string": "([^"]+)"/.exec(readFileSync(list, 'utf8'))?.[1] : undefined
}
