import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { Backoff } from './backoff.ts'
import { type Command, type DynamoClient, withoutRetries } from './client.ts'
import { type ConnectionOptions, createClient, passedClient } from './connection-options.ts'
import { isServerFault, wasThrottled } from './errors.ts'

/** Sends commands, each within a time and with those retries that cannot apply a write twice. */
export class DynamoDBConnection {
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
