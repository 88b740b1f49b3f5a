export type { PostgresConnectionOptions, PostgresPool, PostgresPoolClient } from './connection-options.ts'
export { PostgresBackend, type PostgresBackendOptions } from './postgres-backend.ts'
export type { SweepOptions } from './sweep.ts'
