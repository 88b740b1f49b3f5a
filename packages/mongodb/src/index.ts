export { MongoDBBackend, type MongoDBBackendOptions } from './mongodb-backend.ts'
