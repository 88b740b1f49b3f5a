import { describeArgument, invalidArgument } from '@cachekit/core'

/** Bytes of an identifier; PostgreSQL cuts longer ones off without an error. */
const MAX_NAME_BYTES = 63

/** `name` as an identifier in SQL. Throws `CACHE_INVALID_ARGUMENT` for what cannot be one. */
export function quoteIdentifier(option: string, name: unknown): string {
  if (
    typeof name !== 'string' ||
    name === '' ||
    /\0/.test(name) ||
    !name.isWellFormed() ||
    Buffer.byteLength(name) > MAX_NAME_BYTES
  ) {
    throw invalidArgument(
      `${option} must be a name of 1 to ${MAX_NAME_BYTES} bytes in UTF-8, not ${describeArgument(name)}.`,
    )
  }
  return `"${name.replaceAll('"', '""')}"`
}

/**
 * Creates the table, and its schema, unless it is there. One statement, so that it is all or nothing also where every
 * transaction may get another connection (PgBouncer). An advisory lock lets processes that start together create it once.
 *
 * - `key` holds ids up to 512 bytes as they are; of longer ones a hash, and `original` the id.
 * - The sweep finds expired entries by `expires_minute`. An index on `expires_at` itself would do, but it would have to
 *   change at every write: only if no indexed column changes can PostgreSQL put the new version of a row next to the old
 *   one and reuse its room without a vacuum (https://www.postgresql.org/docs/current/storage-hot.html).
 * - The fillfactor leaves room for that; the vacuum comes earlier than by default, as everything here changes often.
 */
export function createTable(schema: string, table: string, unlogged: boolean): string {
  const name = `${schema}.${table}`
  return doBlock(`
    PERFORM pg_advisory_xact_lock(hashtextextended('cachekit provision', 0));
    IF to_regclass(${literal(name)}) IS NULL THEN
      IF to_regnamespace(${literal(schema)}) IS NULL THEN
        CREATE SCHEMA ${schema};
      END IF;
      CREATE ${unlogged ? 'UNLOGGED ' : ''}TABLE ${name} (
        key bytea PRIMARY KEY,
        original bytea,
        value bytea NOT NULL,
        expires_at timestamptz,
        expires_minute timestamptz GENERATED ALWAYS AS (date_bin('1 minute', expires_at, timestamptz 'epoch')) STORED
      ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
        toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_cost_delay = 0);
      CREATE INDEX ON ${name} (expires_minute) WHERE expires_minute IS NOT NULL;
      COMMENT ON TABLE ${name} IS 'CacheKit, layout 1';
    END IF;`)
}

function doBlock(body: string): string {
  return `DO ${literal(`BEGIN${body}\nEND`)}`
}

/** A text in SQL, also where the server takes backslashes for escapes. */
function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
