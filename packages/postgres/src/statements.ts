import { hash } from 'node:crypto'

/** A statement, and the name under which connections keep it prepared; none where it is planned at each run. */
export interface Statement {
  readonly text: string
  readonly name?: string | undefined
}

export type Operation =
  | ('exists' | 'get' | 'getEntry' | 'has' | 'getMany' | 'set' | 'add' | 'setMany' | 'compareAndSet')
  | ('compareAndDelete' | 'increment' | 'touch' | 'delete' | 'deleteMany' | 'clear' | 'keys' | 'sweep')

/**
 * The statements of a backend. Each operation is one, and thereby atomic. Deadlines are compared with the clock of the
 * server at the moment of the comparison, not of the statement's beginning: it may have waited for a lock.
 *
 * @param table Quoted, with its schema.
 * @param prepared Whether those that run often get a name.
 */
export function statements(table: string, prepared: boolean): Record<Operation, Statement> {
  const all = Object.entries(texts(table)).map(([operation, text]): [string, Statement] => {
    // Ranges and batches are planned anew for what they are given: a plan for a small table is wrong for a large one.
    const named = prepared && !UNNAMED.has(operation)
    return [operation, { text, name: named ? `cachekit_${hash('sha256', text).slice(0, 32)}` : undefined }]
  })
  return Object.fromEntries(all) as Record<Operation, Statement>
}

const UNNAMED: ReadonlySet<string> = new Set(['clear', 'keys', 'sweep', 'exists'])

/** Whether an entry has not expired. */
const LIVE = '(entry.expires_at IS NULL OR entry.expires_at > clock_timestamp())'
/** The value in hexadecimal digits, whatever the session's bytea_output: pg reads everything as text. */
const VALUE = "encode(entry.value, 'hex')"
/** Milliseconds left, NULL for no expiry. The last one may have gone since the comparison. */
const TTL = `CASE WHEN entry.expires_at IS NOT NULL
    THEN greatest(1, ceil(extract(epoch FROM entry.expires_at - clock_timestamp()) * 1000)) END`
const deadline = (ttl: string): string => `clock_timestamp() + ${ttl}::float8 * interval '1 millisecond'`
const REPLACE = 'value = excluded.value, expires_at = excluded.expires_at'

/** The stored value as text; bytes beyond ASCII become escapes, which no number holds. */
const STORED_TEXT = "encode(entry.value, 'escape')"
const SUM = `CASE WHEN octet_length(entry.value) <= 20 AND ${STORED_TEXT} ~ '^(0|-?[1-9][0-9]*)$' THEN ${STORED_TEXT}::numeric + $3::numeric END`
const MAX = Number.MAX_SAFE_INTEGER

function texts(table: string): Record<Operation, string> {
  const insert = `INSERT INTO ${table} AS entry (key, original, value, expires_at)`
  const insertOne = (value: string): string => `${insert} VALUES ($1, $2, ${value}, ${deadline('$4')})`
  return {
    exists: 'SELECT to_regclass($1) IS NOT NULL',
    get: `SELECT ${VALUE} FROM ${table} AS entry WHERE entry.key = $1 AND ${LIVE}`,
    getEntry: `SELECT ${VALUE}, ${TTL} FROM ${table} AS entry WHERE entry.key = $1 AND ${LIVE}`,
    has: `SELECT FROM ${table} AS entry WHERE entry.key = $1 AND ${LIVE}`,
    getMany: `SELECT wanted.position, ${VALUE}
      FROM unnest($1::bytea[]) WITH ORDINALITY AS wanted (key, position)
      JOIN ${table} AS entry ON entry.key = wanted.key WHERE ${LIVE}`,
    set: `${insertOne('$3')} ON CONFLICT (key) DO UPDATE SET ${REPLACE}`,
    add: `${insertOne('$3')} ON CONFLICT (key) DO UPDATE SET ${REPLACE} WHERE NOT ${LIVE}`,
    // In the order of the keys, as whoever locks several rows does: so no two wait for each other.
    setMany: `${insert}
      SELECT key, original, value, ${deadline('ttl')}
      FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::float8[]) AS given (key, original, value, ttl) ORDER BY key
      ON CONFLICT (key) DO UPDATE SET ${REPLACE}`,
    compareAndSet: `UPDATE ${table} AS entry SET value = $3, expires_at = ${deadline('$4')}
      WHERE entry.key = $1 AND ${LIVE} AND entry.value = $2`,
    compareAndDelete: `DELETE FROM ${table} AS entry WHERE entry.key = $1 AND ${LIVE} AND entry.value = $2`,
    // Answers nothing where the stored value is no counter, or the sum would not be safe.
    increment: `${insertOne("convert_to($3::text, 'UTF8')")}
      ON CONFLICT (key) DO UPDATE SET
        value = CASE WHEN ${LIVE} THEN convert_to((${SUM})::text, 'UTF8') ELSE excluded.value END,
        expires_at = CASE WHEN ${LIVE} THEN entry.expires_at ELSE excluded.expires_at END
      WHERE NOT ${LIVE} OR ${SUM} BETWEEN -${MAX} AND ${MAX}
      RETURNING convert_from(entry.value, 'UTF8')`,
    touch: `UPDATE ${table} AS entry SET expires_at = ${deadline('$2')} WHERE entry.key = $1 AND ${LIVE}`,
    delete: `DELETE FROM ${table} AS entry WHERE entry.key = $1 RETURNING ${LIVE}`,
    deleteMany: `WITH doomed AS MATERIALIZED (
        SELECT key FROM ${table} WHERE key = ANY ($1::bytea[]) ORDER BY key FOR UPDATE)
      DELETE FROM ${table} AS entry USING doomed WHERE entry.key = doomed.key`,
    // One page of a range: answers its last key, and how many keys it has. These are counted before the rows are
    // locked, as others may delete some of them meanwhile.
    clear: `WITH page AS MATERIALIZED (
        SELECT key FROM ${table} WHERE key > $1 AND key < $2 ORDER BY key LIMIT $3),
      doomed AS MATERIALIZED (
        SELECT key FROM ${table} WHERE key IN (SELECT key FROM page) ORDER BY key FOR UPDATE),
      gone AS (DELETE FROM ${table} AS entry USING doomed WHERE entry.key = doomed.key)
      SELECT encode(key, 'hex'), (SELECT count(*) FROM page) FROM page ORDER BY key DESC LIMIT 1`,
    keys: `SELECT encode(entry.key, 'hex'), encode(entry.original, 'hex') FROM ${table} AS entry
      WHERE entry.key > $1 AND entry.key < $2 AND ${LIVE} ORDER BY entry.key LIMIT $3`,
    // One process at a time: who does not get the advisory lock finds nothing. now(), the beginning of the statement, can
    // be looked up in the index. The condition is checked again on the locked row, so what was written since stays.
    sweep: `WITH turn AS MATERIALIZED (
        SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS ours),
      expired AS MATERIALIZED (
        SELECT key FROM ${table} WHERE (SELECT ours FROM turn) AND expires_minute <= now() AND expires_at <= now()
        ORDER BY expires_minute LIMIT $2 FOR UPDATE SKIP LOCKED)
      DELETE FROM ${table} AS entry USING expired WHERE entry.key = expired.key`,
  }
}
