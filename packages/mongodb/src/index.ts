export type { MongoClientLike } from './connection-options.ts'
export { MongoDBBackend, type MongoDBBackendOptions } from './mongodb-backend.ts'
