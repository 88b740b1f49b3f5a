export type { FirestoreClient } from './client.ts'
export { FirestoreBackend, type FirestoreBackendOptions } from './firestore-backend.ts'
