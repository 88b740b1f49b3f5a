import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { invalidArgument } from '@cachekit/core'
import type { DynamoClient } from './client.ts'

/** How to reach DynamoDB: a client, or what makes one. */
export interface ConnectionOptions {
  /** A `DynamoDBClient` of yours. It is never closed; its own retries are not used. */
  readonly client?: DynamoClient | undefined
  /** The AWS region. Default: what the SDK finds (`AWS_REGION`, the shared config file). */
  readonly region?: string | undefined
  /** URL of the service, for DynamoDB Local or a VPC endpoint. Default: what the SDK finds, else the region's. */
  readonly endpoint?: string | undefined
  /** Further options for the constructor of `DynamoDBClient`: credentials, profile, request handler. */
  readonly clientOptions?: DynamoDBClientConfig | undefined
}

const ignore = (): void => {}
/** The SDK's request handler warns on the console when many requests wait for a socket, as they do in an outage. */
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore }

/** @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. Does no I/O. */
export function createClient({ region, endpoint, clientOptions = {} }: ConnectionOptions): DynamoDBClient {
  if (typeof clientOptions !== 'object' || clientOptions === null)
    throw invalidArgument('clientOptions must be an object.')
  if (region !== undefined && (typeof region !== 'string' || !/^[\w-]+$/.test(region))) {
    throw invalidArgument('region must be the name of an AWS region, like eu-central-1.')
  }
  if (
    endpoint !== undefined &&
    !(typeof endpoint === 'string' && /^https?:\/\//.test(endpoint) && URL.canParse(endpoint))
  ) {
    throw invalidArgument('endpoint must be a URL like http://127.0.0.1:8000.')
  }
  try {
    return new DynamoDBClient({
      requestHandler: { logger: SILENT },
      ...clientOptions,
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint }),
    })
  } catch (error) {
    throw invalidArgument(`The AWS SDK refuses these options: ${(error as Error).message}`)
  }
}

/** @throws `CACHE_INVALID_ARGUMENT` unless `client` alone is given, and is one. */
export function passedClient({ client, region, endpoint, clientOptions }: ConnectionOptions): DynamoClient {
  if (region !== undefined || endpoint !== undefined || clientOptions !== undefined) {
    throw invalidArgument('Pass client alone, without region, endpoint and clientOptions: it is already configured.')
  }
  if (typeof client?.send !== 'function' || typeof client.middlewareStack !== 'object') {
    throw invalidArgument('client must be a DynamoDBClient of @aws-sdk/client-dynamodb.')
  }
  return client
}
