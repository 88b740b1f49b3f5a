import { execFileSync } from 'node:child_process'
import { isRequired } from './resolve-service.ts'
import type { Browser, Found, Resolution, Service, ServiceName } from './service.ts'

const ask = `import { get } from 'node:http'; get(process.argv[1], response => response.pipe(process.stdout))`

/**
 * A `describe` whose cases run against the real server of this run, which all test files share: leave nothing behind
 * that would disturb others, and expect what others left. Where the server is not to be had, this is one skipped case,
 * or a failing one if it is required.
 */
export function describeService(name: ServiceName, body: (service: Service) => void): void {
  describeFound(name, body)
}

/** The same for a Chromium, which cases start as they need it. */
export function describeBrowser(body: (browser: Browser) => void): void {
  describeFound('chromium', body)
}

function describeFound<T extends Found>(name: T['name'], body: (found: T) => void): void {
  const { found, problem } = askBroker<T>(name)
  describe(name, () => {
    if (found !== undefined) return body(found)
    if (!isRequired(name)) return test.skip(`not proven: ${problem}`, () => {})
    test('is available', () => {
      throw new Error(problem)
    })
  })
}

/** Jest collects cases synchronously, so the broker is asked synchronously: by a process that waits for the answer. */
function askBroker<T extends Found>(name: T['name']): Resolution<T> {
  const broker = process.env.CACHEKIT_BROKER
  if (broker === undefined) throw new Error('describeService() needs the jest configuration at the root')
  const answer = execFileSync(process.execPath, ['--input-type=module', '-e', ask, `${broker}/${name}`], {
    encoding: 'utf8',
  })
  return JSON.parse(answer) as Resolution<T>
}
