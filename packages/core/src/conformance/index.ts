export { type ConformanceCase, type ConformanceOptions, conformance } from './conformance.ts'
export {
  type HostileValue,
  hostileKeys,
  hostileNames,
  hostileTexts,
  hostileTtls,
  hostileValues,
  invalidCounters,
  invalidKeys,
  invalidNames,
  invalidTtls,
  invalidValues,
} from './corpora.ts'
export {
  type ConformanceReport,
  type ConformanceResult,
  type RuleSummary,
  type RunOptions,
  runConformance,
} from './run-conformance.ts'
