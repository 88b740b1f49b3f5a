// `pnpm services`: finds, starts, questions and stops each service in turn, and says what came of it. Fails where one is required and missing.
import { resolutionLine } from './resolution-line.ts'
import { isRequired, resolveService } from './resolve-service.ts'
import { serviceNames } from './service.ts'

const report = (line: string): boolean => process.stderr.write(`    ${line}\n`)

for (const name of serviceNames) {
  try {
    const service = await resolveService(name, { report })
    await service.close()
    console.log(resolutionLine({ name, service }))
  } catch (error) {
    console.log(resolutionLine({ name, problem: (error as Error).message }))
    if (isRequired(name)) process.exitCode = 1
  }
}
