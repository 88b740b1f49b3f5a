import { DynamoDBClient, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { CacheError } from '@cachekit/core'
import { Backoff } from './backoff.ts'
import { type Command, type DynamoClient, withoutRetries } from './client.ts'
import { isServerFault, wasThrottled } from './errors.ts'

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

/** Sends commands, each within a time and with those retries that cannot apply a write twice. */
export class Connection {
  readonly #client: DynamoClient
  /** `#client`, if it is ours. */
  readonly #own: DynamoDBClient | undefined
  readonly #timeout: number

  /**
   * @param timeout Milliseconds that a call of the backend has. A request without an answer ends after it, with its
   * socket; half of it is the patience with a throttled table.
   * @throws `CACHE_INVALID_ARGUMENT` for options that do not fit. Does no I/O.
   */
  constructor(options: ConnectionOptions, timeout: number) {
    this.#timeout = timeout
    this.#own = options.client === undefined ? createClient(options) : undefined
    this.#client = this.#own ?? passedClient(options)
  }

  /** Sends a command that changes something: again only if it was refused because of its table's load. */
  write<Output>(command: Command<Output>): Promise<Output> {
    return this.#send(command, wasThrottled)
  }

  /** Sends a command that changes nothing: again if the service was overloaded or failed. */
  read<Output>(command: Command<Output>): Promise<Output> {
    return this.#send(command, error => wasThrottled(error) || isServerFault(error))
  }

  /** Pauses between attempts of this backend. */
  backoff(): Backoff {
    return new Backoff(this.#timeout / 2)
  }

  /** Frees what is ours. */
  close(): void {
    this.#own?.destroy()
  }

  async #send<Output>(command: Command<Output>, again: (error: unknown) => boolean): Promise<Output> {
    const once = withoutRetries(command)
    const abortSignal = AbortSignal.timeout(Math.ceil(this.#timeout))
    let backoff: Backoff | undefined
    for (;;) {
      try {
        return (await this.#client.send(once as never, { abortSignal })) as Output
      } catch (error) {
        if (!again(error)) throw error
        backoff ??= this.backoff()
        if (!(await backoff.wait())) throw error
      }
    }
  }
}

function createClient({ region, endpoint, clientOptions = {} }: ConnectionOptions): DynamoDBClient {
  if (typeof clientOptions !== 'object' || clientOptions === null) throw invalid('clientOptions must be an object.')
  if (region !== undefined && (typeof region !== 'string' || !/^[\w-]+$/.test(region))) {
    throw invalid('region must be the name of an AWS region, like eu-central-1.')
  }
  if (
    endpoint !== undefined &&
    !(typeof endpoint === 'string' && /^https?:\/\//.test(endpoint) && URL.canParse(endpoint))
  ) {
    throw invalid('endpoint must be a URL like http://127.0.0.1:8000.')
  }
  try {
    return new DynamoDBClient({
      requestHandler: { logger: SILENT },
      ...clientOptions,
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint }),
    })
  } catch (error) {
    throw invalid(`The AWS SDK refuses these options: ${(error as Error).message}`)
  }
}

function passedClient({ client, region, endpoint, clientOptions }: ConnectionOptions): DynamoClient {
  if (region !== undefined || endpoint !== undefined || clientOptions !== undefined) {
    throw invalid('Pass client alone, without region, endpoint and clientOptions: it is already configured.')
  }
  if (typeof client?.send !== 'function' || typeof client.middlewareStack !== 'object') {
    throw invalid('client must be a DynamoDBClient of @aws-sdk/client-dynamodb.')
  }
  return client
}

function invalid(message: string): CacheError {
  return new CacheError({ code: 'CACHE_INVALID_ARGUMENT', message })
}
