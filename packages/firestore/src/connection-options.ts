import { describeArgument, invalidArgument } from '@cachekit/core'
import type { Settings } from '@google-cloud/firestore'
import type { FirestoreClient } from './client.ts'

/** How to reach Firestore: a client, or what makes one. */
export interface ConnectionOptions {
  /**
   * A `Firestore` of yours, of any copy of the driver: `getFirestore()` of firebase-admin is one. It is never terminated.
   * It sends writes again after a lost connection, as the driver does: see "Limits" in the README.
   */
  readonly client?: FirestoreClient | undefined
  /** The Google Cloud project. Default: that of the credentials, or what `GOOGLE_CLOUD_PROJECT` says. */
  readonly projectId?: string | undefined
  /** Default: `'(default)'`. */
  readonly databaseId?: string | undefined
  /** Further options for the constructor of `Firestore`: `auth`, `credentials`, `host`, `ssl`. */
  readonly clientOptions?: Settings | undefined
}

/** @throws `CACHE_INVALID_ARGUMENT` unless `client` alone is given, and is one; `undefined`: there is none. */
export function passedClient({
  client,
  projectId,
  databaseId,
  clientOptions,
}: ConnectionOptions): FirestoreClient | undefined {
  if (client === undefined) return undefined
  if (projectId !== undefined || databaseId !== undefined || clientOptions !== undefined) {
    throw invalidArgument(
      'Pass client alone, without projectId, databaseId and clientOptions: it is already configured.',
    )
  }
  if (typeof client !== 'object' || typeof client?.batch !== 'function' || typeof client.getAll !== 'function') {
    throw invalidArgument('client must be a Firestore of @google-cloud/firestore or firebase-admin.')
  }
  return client
}

/** @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. */
export function clientSettings({ projectId, databaseId, clientOptions = {} }: ConnectionOptions): Settings {
  for (const [name, value] of Object.entries({ projectId, databaseId })) {
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw invalidArgument(`${name} must be a non-empty string, not ${describeArgument(value)}.`)
    }
  }
  if (typeof clientOptions !== 'object' || clientOptions === null)
    throw invalidArgument('clientOptions must be an object.')
  if (clientOptions.preferRest) {
    throw invalidArgument('clientOptions must not ask for preferRest: CacheKit speaks to Firestore by gRPC.')
  }
  return {
    ...clientOptions,
    ...(projectId !== undefined && { projectId }),
    ...(databaseId !== undefined && { databaseId }),
    preferRest: false,
  }
}
