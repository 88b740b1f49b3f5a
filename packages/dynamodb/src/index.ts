export type { DynamoClient } from './client.ts'
export { DynamoDBBackend, type DynamoDBBackendOptions } from './dynamodb-backend.ts'
