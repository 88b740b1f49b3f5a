// `pnpm services`: finds, starts, questions and stops each service in turn, and the browser, and says what came of it.
// Fails where one is required and missing.
import { resolutionLine } from './resolution-line.ts'
import { resolveBrowser } from './resolve-browser.ts'
import { isRequired, resolveService } from './resolve-service.ts'
import { type Found, type RequirementName, requirementNames } from './service.ts'

const report = (line: string): boolean => process.stderr.write(`    ${line}\n`)

async function find(name: RequirementName): Promise<Found> {
  if (name === 'chromium') return resolveBrowser(report)
  const service = await resolveService(name, { report })
  await service.close()
  return service
}

for (const name of requirementNames) {
  try {
    console.log(resolutionLine({ name, found: await find(name) }))
  } catch (error) {
    console.log(resolutionLine({ name, problem: (error as Error).message }))
    if (isRequired(name)) process.exitCode = 1
  }
}
