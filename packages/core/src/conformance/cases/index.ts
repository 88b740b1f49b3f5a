import type { CaseDefinition } from '../case.ts'
import { atomicityCases } from './atomicity.ts'
import { batchCases } from './batches.ts'
import { clearingCases } from './clearing.ts'
import { faultCases } from './faults.ts'
import { honestyCases } from './honesty.ts'
import { keyCases } from './keys.ts'
import { lifeCycleCases } from './life-cycle.ts'
import { historyCases } from './random-histories.ts'
import { timeCases } from './time.ts'
import { valueCases } from './values.ts'

export const definitions: readonly CaseDefinition[] = [
  ...valueCases,
  ...keyCases,
  ...clearingCases,
  ...timeCases,
  ...atomicityCases,
  ...batchCases,
  ...lifeCycleCases,
  ...honestyCases,
  ...historyCases,
]

/** These need a server that the kit may put its proxy before. */
export const faultDefinitions: readonly CaseDefinition[] = faultCases
