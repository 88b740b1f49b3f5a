import { execFileSync } from 'node:child_process'
import type { Resolution, Service, ServiceName } from './service.ts'

const ask = `import { get } from 'node:http'; get(process.argv[1], response => response.pipe(process.stdout))`

/**
 * A `describe` whose cases run against the real server of this run. Where there is none, it is one skipped case, or a
 * failed one if the service is required.
 */
export function describeService(name: ServiceName, body: (service: Service) => void): void {
  const broker = process.env.CACHEKIT_BROKER
  if (broker === undefined) throw new Error('describeService() works under the jest configuration of this repository')
  // Jest collects cases synchronously, so the question is asked synchronously: by a process that waits for the answer.
  const answer = execFileSync(process.execPath, ['--input-type=module', '-e', ask, `${broker}/${name}`], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const resolution = JSON.parse(answer) as Resolution
  if ('service' in resolution) {
    describe(name, () => body(resolution.service))
  } else if (resolution.promised) {
    test(`${name} is available`, () => {
      throw new Error(resolution.problem)
    })
  } else {
    test.skip(`${name} is not available: ${resolution.problem}`, () => {})
  }
}
