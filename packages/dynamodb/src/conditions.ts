import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { StoredEntry } from '@cachekit/core'
import { attributeOf } from './item.ts'

/** What must be true of an item for a write to be applied, as commands take it. */
export interface Condition {
  readonly ConditionExpression: string
  readonly ExpressionAttributeNames?: Record<string, string>
  readonly ExpressionAttributeValues?: Record<string, AttributeValue>
}

/** `value` is a reserved word: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html */
export const VALUE = { '#value': 'value' }

/** There is an item, whatever it is. */
export const PRESENT: Condition = { ConditionExpression: 'attribute_exists(pk)' }

// A comparison with an attribute that is not there is false.
const EXPIRED = 'expiresAt <= :now'

/** There is no entry: no item, or one that has expired. */
export function absent(now: number): Condition {
  return {
    ConditionExpression: `attribute_not_exists(pk) OR ${EXPIRED}`,
    ExpressionAttributeValues: { ':now': { N: String(now) } },
  }
}

/** There is an entry that has not expired. */
export function live(now: number): Condition {
  return {
    ConditionExpression: `attribute_exists(pk) AND NOT ${EXPIRED}`,
    ExpressionAttributeValues: { ':now': { N: String(now) } },
  }
}

/** There is a live entry with these bytes. */
export function equalTo(expected: Uint8Array, now: number): Condition {
  return {
    ConditionExpression: `#value = :expected AND NOT ${EXPIRED}`,
    ExpressionAttributeNames: VALUE,
    ExpressionAttributeValues: { ':expected': attributeOf(expected), ':now': { N: String(now) } },
  }
}

/** There is a live counter to which `by` can be added. */
export function countable(by: number, now: number): Condition {
  return {
    ConditionExpression: `#value BETWEEN :min AND :max AND NOT ${EXPIRED}`,
    ExpressionAttributeNames: VALUE,
    ExpressionAttributeValues: {
      ':min': { N: String(Number.MIN_SAFE_INTEGER - Math.min(by, 0)) },
      ':max': { N: String(Number.MAX_SAFE_INTEGER - Math.max(by, 0)) },
      ':now': { N: String(now) },
    },
  }
}

/** The record is still this one, expired or not; `undefined`: there is none. */
export function unchanged(expected: StoredEntry | undefined): Condition {
  if (expected === undefined) return { ConditionExpression: 'attribute_not_exists(pk)' }
  const { value, expiresAt } = expected
  const deadline = expiresAt === undefined ? 'attribute_not_exists(expiresAt)' : 'expiresAt = :expiresAt'
  return {
    ConditionExpression: `#value = :expected AND ${deadline}`,
    ExpressionAttributeNames: VALUE,
    ExpressionAttributeValues: {
      ':expected': attributeOf(value),
      ...(expiresAt !== undefined && { ':expiresAt': { N: String(expiresAt) } }),
    },
  }
}
