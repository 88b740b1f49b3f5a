// What an application does, with the packages as its caller has loaded them.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'

const { REDIS_URL } = process.env

export async function exercise({ createCache, isCacheError, RedisBackend }) {
  const namespace = `check-${randomUUID()}`
  const open = () => createCache({ backend: new RedisBackend({ url: REDIS_URL, namespace }), ttl: '5m' })
  const here = open()
  const elsewhere = open()
  const users = here.namespace('users')

  let loads = 0
  const user = { id: '42', since: new Date('2020-01-02'), teams: new Set([7n]) }
  const load = async () => {
    loads++
    return user
  }
  const loaded = await Promise.all([users.getOrSet('42', load), users.getOrSet('42', load)])
  assert.deepEqual(loaded, [user, user])
  assert.equal(loads, 1)
  assert.deepEqual(await elsewhere.namespace('users').get('42'), user)

  await elsewhere.namespace('users').delete('42')
  assert.equal(await users.get('42'), undefined)

  assert.equal(await here.increment('visits', 41), 41)
  assert.equal(await elsewhere.increment('visits'), 42)

  await assert.rejects(here.set('', 1), error => isCacheError(error, 'CACHE_INVALID_KEY'))

  await here.clear()
  assert.equal(await elsewhere.has('visits'), false)
  await here.close()
  await elsewhere.close()
}
