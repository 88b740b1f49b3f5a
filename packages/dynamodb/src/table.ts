import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  UpdateItemCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import { CacheError } from '@cachekit/core'
import type { Command } from './client.ts'
import type { Condition } from './conditions.ts'
import type { DynamoDBConnection } from './connection.ts'
import { nameOf, unprocessed } from './errors.ts'
import type { Item, Key } from './item.ts'

/** How many items one Query answers at most. */
const PAGE = 1000

/** How items are read: all of an item, or only some attributes. */
export interface ReadOptions {
  readonly ConsistentRead: boolean
  readonly ProjectionExpression?: string
}

/** What `update` changes. */
export interface Change {
  readonly UpdateExpression: string
  readonly names?: Record<string, string>
  readonly values?: Item
}

/** What of a batch did not succeed is told here, each with the reason. */
type Failed<T> = (each: T, error: unknown) => void
/** Tells that a batch got on; throws once nobody waits for it any more. */
type Progress = (made?: boolean) => void

/** The table of a backend: what is done to single items, to batches of them, and to all of a partition. */
export class Table {
  readonly #connection: DynamoDBConnection
  readonly #name: string

  constructor(connection: DynamoDBConnection, name: string) {
    this.#connection = connection
    this.#name = name
  }

  async get(key: Key, options: ReadOptions): Promise<Item | undefined> {
    return (await this.#connection.read(new GetItemCommand({ TableName: this.#name, Key: key, ...options }))).Item
  }

  /** Whether it was done: `false` if the condition was not met. */
  async put(item: Item, condition?: Condition): Promise<boolean> {
    const answer = await this.#unlessRefused(new PutItemCommand({ TableName: this.#name, Item: item, ...condition }))
    return answer !== undefined
  }

  /** What was deleted, if that is asked for, or else `{}`; `undefined` if the condition was not met. */
  async delete(key: Key, condition: Condition, ReturnValues: 'ALL_OLD' | 'NONE' = 'NONE'): Promise<Item | undefined> {
    const command = new DeleteItemCommand({ TableName: this.#name, Key: key, ReturnValues, ...condition })
    const answer = await this.#unlessRefused(command)
    return answer && (answer.Attributes ?? {})
  }

  /** What the changed attributes are now; `undefined` if the condition was not met. */
  async update(key: Key, { UpdateExpression, names, values }: Change, condition: Condition): Promise<Item | undefined> {
    const { ConditionExpression, ExpressionAttributeNames, ExpressionAttributeValues } = condition
    const command = new UpdateItemCommand({
      TableName: this.#name,
      Key: key,
      UpdateExpression,
      ConditionExpression,
      ExpressionAttributeNames: { ...ExpressionAttributeNames, ...names },
      ExpressionAttributeValues: { ...ExpressionAttributeValues, ...values },
      ReturnValues: 'UPDATED_NEW',
    })
    const answer = await this.#unlessRefused(command)
    return answer && (answer.Attributes ?? {})
  }

  /** One BatchGetItem, and again for what DynamoDB did not look up. All keys are of one namespace. */
  getBatch(
    keys: readonly Key[],
    options: ReadOptions,
    progress: Progress,
    found: (item: Item) => void,
    failed: Failed<Key>,
  ): Promise<void> {
    const bySortKey = new Map(keys.map(key => [key.sk.S, key]))
    return this.#untilDone(keys, progress, failed, async some => {
      const request = { Keys: [...some], ...options }
      const { Responses, UnprocessedKeys } = await this.#connection.read(
        new BatchGetItemCommand({ RequestItems: { [this.#name]: request } }),
      )
      for (const item of Responses?.[this.#name] ?? []) found(item)
      return (UnprocessedKeys?.[this.#name]?.Keys ?? []).map(key => bySortKey.get(key.sk?.S as string) as Key)
    })
  }

  /** One BatchWriteItem, and again for what DynamoDB did not take. No key comes twice. */
  writeBatch(requests: readonly WriteRequest[], progress: Progress, failed: Failed<WriteRequest>): Promise<void> {
    const bySortKey = new Map(requests.map(request => [sortKeyOf(request), request]))
    return this.#untilDone(requests, progress, failed, async some => {
      const { UnprocessedItems } = await this.#connection.write(
        new BatchWriteItemCommand({ RequestItems: { [this.#name]: [...some] } }),
      )
      return (UnprocessedItems?.[this.#name] ?? []).map(request => bySortKey.get(sortKeyOf(request)) as WriteRequest)
    })
  }

  /** The items under this partition key whose sort key starts with `path`, page by page. */
  async *pages(partition: string, path: string, options: ReadOptions): AsyncGenerator<Item[], void> {
    let ExclusiveStartKey: Item | undefined
    do {
      const { Items, LastEvaluatedKey } = await this.#connection.read(
        new QueryCommand({
          TableName: this.#name,
          KeyConditionExpression: path === '' ? 'pk = :pk' : 'pk = :pk AND begins_with(sk, :path)',
          ExpressionAttributeValues: { ':pk': { S: partition }, ...(path !== '' && { ':path': { S: path } }) },
          Limit: PAGE,
          ExclusiveStartKey,
          ...options,
        }),
      )
      yield Items ?? []
      ExclusiveStartKey = LastEvaluatedKey
    } while (ExclusiveStartKey !== undefined)
  }

  /** Sends a write with a condition; `undefined` if that was not met. */
  async #unlessRefused<Output>(command: Command<Output>): Promise<Output | undefined> {
    try {
      return await this.#connection.write(command)
    } catch (error) {
      if (nameOf(error) === 'ConditionalCheckFailedException') return undefined
      throw error
    }
  }

  /** Has `send` send a batch, and what it answers as left again, with pauses and as long as that helps. */
  async #untilDone<T>(
    batch: readonly T[],
    progress: Progress,
    failed: Failed<T>,
    send: (some: readonly T[]) => Promise<readonly T[]>,
  ): Promise<void> {
    const backoff = this.#connection.backoff()
    let some = batch
    let error: unknown = new CacheError(unprocessed)
    do {
      try {
        const left = await send(some)
        progress(left.length < some.length)
        if (left.length < some.length) backoff.reset()
        some = left
      } catch (reason) {
        error = reason
        break
      }
    } while (some.length > 0 && (await backoff.wait()))
    for (const each of some) failed(each, error)
  }
}

function sortKeyOf({ PutRequest, DeleteRequest }: WriteRequest): string | undefined {
  return (PutRequest?.Item ?? DeleteRequest?.Key)?.sk?.S
}
