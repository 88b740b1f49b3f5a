/**
 * What this backend needs of a `DynamoDBClient` of `@aws-sdk/client-dynamodb`. A structure, not the class: yours may come
 * from another copy of the package.
 */
export interface DynamoClient {
  send(command: never, options?: { abortSignal?: AbortSignal }): Promise<unknown>
  readonly middlewareStack: object
}

/** A command of the SDK, whose reply is an `Output`. */
export interface Command<Output> {
  readonly middlewareStack: {
    add(middleware: (next: Handler) => Handler, options: { step: 'finalizeRequest'; [option: string]: unknown }): void
  }
  resolveMiddleware(stack: never, configuration: never, options: never): (input: never) => Promise<{ output: Output }>
}

// biome-ignore lint/suspicious/noExplicitAny: what goes through here is the business of the SDK
type Handler = (args: any) => Promise<any>

/**
 * Has `command` sent once. The SDK sends again what failed, also when a write may have been applied. Its retries are a
 * middleware of this name, which one of the command replaces:
 * https://docs.aws.amazon.com/sdk-for-javascript/v3/developer-guide/middleware-stack.html
 */
export function withoutRetries<C extends Command<unknown>>(command: C): C {
  command.middlewareStack.add(next => next, {
    name: 'retryMiddleware',
    step: 'finalizeRequest',
    priority: 'high',
    override: true,
  })
  return command
}
