import { hash } from 'node:crypto'

// What Redis has no single command for, as Lua: a script runs alone, so each is one atomic step and one round trip.
// Redis loses its scripts at a restart, a failover and SCRIPT FLUSH; it answers NOSCRIPT then, having done nothing.
// https://redis.io/docs/latest/develop/programmability/eval-intro/

export interface Script {
  readonly lua: string
  /** SHA-1, the name under which Redis keeps the script. */
  readonly sha: string
}

function script(lua: string): Script {
  return { lua, sha: hash('sha1', lua) }
}

/** The value and its milliseconds left (-1: no expiry), or nothing. */
export const GET_ENTRY: Script = script(`
local value = redis.call('GET', KEYS[1])
return value and { value, redis.call('PTTL', KEYS[1]) }`)

/** ARGV: expected, value, ttl ('': none). Answers 1 if it replaced. */
export const COMPARE_AND_SET: Script = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`)

/** ARGV: expected. Answers 1 if it deleted. */
export const COMPARE_AND_DELETE: Script = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])`)

/** Answers 1 if there is an entry, which then has no expiry: PERSIST alone answers 0 for one that had none already. */
export const PERSIST: Script = script(`
redis.call('PERSIST', KEYS[1])
return redis.call('EXISTS', KEYS[1])`)

export const NOT_A_COUNTER = 'not a counter'
export const COUNTER_OVERFLOW = 'counter overflow'

/**
 * ARGV: by, ttl ('': none). Answers the sum, or one of the two texts above with the key unchanged. As text: ioredis 6
 * reads integer replies of about 2^53 wrongly, by rounding half-way.
 *
 * Lua's numbers are doubles, so Redis adds (64 bits, exact) and a sum that left the safe integers is taken back. It is
 * recognised although it arrives as a double: no such sum rounds into the safe range. "ERR" is the overflow of 64 bits,
 * other errors (OOM) are what they are.
 */
export const INCREMENT: Script = script(`
local value = redis.call('GET', KEYS[1])
if not value then
  if ARGV[2] == '' then redis.call('SET', KEYS[1], ARGV[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
  return ARGV[1]
end
if value ~= '0' and not string.find(value, '^-?[1-9]%d*$') then return '${NOT_A_COUNTER}' end
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(sum) == 'number' and sum >= -${Number.MAX_SAFE_INTEGER} and sum <= ${Number.MAX_SAFE_INTEGER} then
  return string.format('%.0f', sum)
end
if type(sum) == 'number' then
  redis.call('DECRBY', KEYS[1], ARGV[1])
elseif string.sub(sum.err, 1, 4) ~= 'ERR ' then
  return sum
end
return '${COUNTER_OVERFLOW}'`)
