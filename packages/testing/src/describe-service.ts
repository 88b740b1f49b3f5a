import { execFileSync } from 'node:child_process'
import { isRequired } from './resolve-service.ts'
import type { Resolution, Service, ServiceName } from './service.ts'

const ask = `import { get } from 'node:http'; get(process.argv[1], response => response.pipe(process.stdout))`

/**
 * A `describe` whose cases run against the real server of this run, which all test files share: leave nothing behind
 * that would disturb others, and expect what others left. Where the server is not to be had, this is one skipped case,
 * or a failing one if it is required.
 */
export function describeService(name: ServiceName, body: (service: Service) => void): void {
  const { service, problem } = askBroker(name)
  describe(name, () => {
    if (service !== undefined) return body(service)
    if (!isRequired(name)) return test.skip(`not proven: ${problem}`, () => {})
    test('is available', () => {
      throw new Error(problem)
    })
  })
}

/** Jest collects cases synchronously, so the broker is asked synchronously: by a process that waits for the answer. */
function askBroker(name: ServiceName): Resolution {
  const broker = process.env.CACHEKIT_BROKER
  if (broker === undefined) throw new Error('describeService() needs the jest configuration at the root')
  const answer = execFileSync(process.execPath, ['--input-type=module', '-e', ask, `${broker}/${name}`], {
    encoding: 'utf8',
  })
  return JSON.parse(answer) as Resolution
}
