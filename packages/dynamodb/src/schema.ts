import { setTimeout as sleep } from 'node:timers/promises'
import {
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  type TableDescription,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb'
import { CacheError } from '@cachekit/core'
import type { DynamoDBConnection } from './connection.ts'
import { nameOf } from './errors.ts'

const TTL_ATTRIBUTE = 'ttl'
/** Milliseconds between two looks at a table that is being created. */
const PAUSE = 100

/**
 * Creates the table if there is none, and makes sure that it deletes expired items. Any number of processes may do so at
 * the same time.
 *
 * @param patience Milliseconds to wait for a table that is being created; AWS takes some seconds.
 */
export async function provision(connection: DynamoDBConnection, table: string, patience: number): Promise<void> {
  checkKeys(await activeTable(connection, table, patience), table)
  await enableTtl(connection, table)
}

async function activeTable(connection: DynamoDBConnection, table: string, patience: number): Promise<TableDescription> {
  const end = performance.now() + patience
  for (;;) {
    const description = await describe(connection, table)
    // A table that is being changed by its owner serves all the while.
    if (description?.TableStatus === 'ACTIVE' || description?.TableStatus === 'UPDATING') return description
    if (description === undefined) await create(connection, table)
    if (performance.now() + PAUSE > end) {
      throw new CacheError({
        code: 'CACHE_UNAVAILABLE',
        message: `the table ${table} is being created, which takes AWS some seconds: try again`,
        outcome: 'not-applied',
      })
    }
    await sleep(PAUSE)
  }
}

async function describe(connection: DynamoDBConnection, table: string): Promise<TableDescription | undefined> {
  try {
    return (await connection.read(new DescribeTableCommand({ TableName: table }))).Table
  } catch (error) {
    if (nameOf(error) === 'ResourceNotFoundException') return undefined
    throw error
  }
}

async function create(connection: DynamoDBConnection, table: string): Promise<void> {
  try {
    await connection.write(
      new CreateTableCommand({
        TableName: table,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [
          { AttributeName: 'pk', AttributeType: 'S' },
          { AttributeName: 'sk', AttributeType: 'S' },
        ],
        KeySchema: [
          { AttributeName: 'pk', KeyType: 'HASH' },
          { AttributeName: 'sk', KeyType: 'RANGE' },
        ],
      }),
    )
  } catch (error) {
    // Another process was first.
    if (nameOf(error) !== 'ResourceInUseException') throw error
  }
}

function checkKeys({ KeySchema = [], AttributeDefinitions = [] }: TableDescription, table: string): void {
  const keys = KeySchema.map(({ AttributeName, KeyType }) => {
    const type = AttributeDefinitions.find(each => each.AttributeName === AttributeName)?.AttributeType
    return `${AttributeName} ${type} ${KeyType}`
  })
  if (keys.sort().join(', ') === 'pk S HASH, sk S RANGE') return
  throw new CacheError({
    code: 'CACHE_BACKEND_FAILED',
    message: `the table ${table} is not one of CacheKit, whose keys are pk S HASH, sk S RANGE (not ${keys.join(', ')}): choose another one`,
  })
}

async function enableTtl(connection: DynamoDBConnection, table: string): Promise<void> {
  if (await hasTtl(connection, table)) return
  try {
    await connection.write(
      new UpdateTimeToLiveCommand({
        TableName: table,
        TimeToLiveSpecification: { AttributeName: TTL_ATTRIBUTE, Enabled: true },
      }),
    )
  } catch (error) {
    // Another process was first, if it is enabled now.
    if (nameOf(error) !== 'ValidationException') throw ttlError(error, 'UpdateTimeToLive')
    if (!(await hasTtl(connection, table))) throw error
    return
  }
  if (await hasTtl(connection, table)) return
  throw new CacheError({
    code: 'CACHE_BACKEND_FAILED',
    message: `TTL of the table ${table} is still off after it was switched on: expired entries would pile up`,
  })
}

/** Whether the table deletes expired items, or is about to. */
async function hasTtl(connection: DynamoDBConnection, table: string): Promise<boolean> {
  const { TimeToLiveDescription: ttl } = await connection
    .read(new DescribeTimeToLiveCommand({ TableName: table }))
    .catch(error => {
      throw ttlError(error, 'DescribeTimeToLive')
    })
  if (ttl?.TimeToLiveStatus !== 'ENABLED' && ttl?.TimeToLiveStatus !== 'ENABLING') return false
  if (ttl.AttributeName === TTL_ATTRIBUTE) return true
  throw new CacheError({
    code: 'CACHE_BACKEND_FAILED',
    message: `TTL of the table ${table} is on the attribute ${ttl.AttributeName}; CacheKit needs it on ${TTL_ATTRIBUTE}`,
  })
}

function ttlError(error: unknown, action: string): unknown {
  if (nameOf(error) !== 'AccessDeniedException') return error
  return new CacheError({
    code: 'CACHE_BACKEND_FAILED',
    message:
      `AWS denies dynamodb:${action}, without which nobody knows whether the table deletes expired entries: allow it, ` +
      `or switch TTL on for the attribute ${TTL_ATTRIBUTE} yourself and pass provision: false`,
    cause: error,
    outcome: 'not-applied',
  })
}
