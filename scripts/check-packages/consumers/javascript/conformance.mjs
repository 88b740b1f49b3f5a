import { SqliteBackend } from './sqlite-backend.mjs'

export const create = options => new SqliteBackend({ path: 'conformance.db', ...options })
