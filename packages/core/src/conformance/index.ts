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
