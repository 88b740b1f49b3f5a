export type { PostgresPool, PostgresPoolClient } from './client.ts'
export { PostgresBackend, type PostgresBackendOptions } from './postgres-backend.ts'
export type { SweepOptions } from './sweep.ts'
