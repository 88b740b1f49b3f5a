import { describeArgument, invalidArgument } from './errors.ts'
import { wholeTtl } from './ttl.ts'

/** A length of time: a number of milliseconds, or a number with its unit. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** A lifetime: a {@link Duration} greater than 0, or `'forever'`. */
export type Ttl = Duration | 'forever'

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const PATTERN = /^(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h|d)$/

/** `duration` in milliseconds; `NaN` if it is no duration at all. */
function milliseconds(duration: unknown): number {
  if (typeof duration === 'number') return duration
  const match = typeof duration === 'string' ? PATTERN.exec(duration) : null
  return match === null ? Number.NaN : Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]
}

const OR_TEXT = " or a string such as '500ms', '30s', '5m', '2h', '7d'"

/** The option `name` in milliseconds. Throws `CACHE_INVALID_ARGUMENT` unless it is finite and at least 0. */
export function parseDuration(name: string, duration: unknown): number {
  const value = milliseconds(duration)
  if (value >= 0 && value < Number.POSITIVE_INFINITY) return value
  throw invalidArgument(`${name} must be a number of milliseconds${OR_TEXT}, not ${describeArgument(duration)}.`)
}

/** A ttl in whole milliseconds, `undefined` for `'forever'`. Throws `CACHE_INVALID_TTL` unless it is finite and > 0. */
export function parseTtl(ttl: unknown): number | undefined {
  return ttl === 'forever' ? undefined : wholeTtl(milliseconds(ttl), ttl, `${OR_TEXT} or 'forever'`)
}
