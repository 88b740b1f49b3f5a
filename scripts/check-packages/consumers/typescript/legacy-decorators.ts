// The same decorator under `experimentalDecorators`.
import assert from 'node:assert/strict'
import { type Cache, cached, cachedMethod, createCache } from '@cachekit/core'
import { InMemoryBackend } from '@cachekit/memory'

const cache: Cache = createCache({ backend: new InMemoryBackend() })

class Greeter {
  readonly greeting = 'Dear'

  @cached(cache, { ttl: '1m', key: (name: string) => name })
  async greet(this: Greeter, name: string, mark = ''): Promise<string> {
    return `${this.greeting} ${name}${mark}`
  }

  @cached(cache)
  static async count(): Promise<number> {
    return 1
  }

  // @ts-expect-error: a method that does not return a promise would return one
  @cached(cache)
  now(): number {
    return 0
  }
}

const greeter = new Greeter()
greeter.greet('Ada', '!').then(async greeting => {
  assert.equal(greeting, 'Dear Ada!')
  assert.equal(await greeter.greet('Ada'), 'Dear Ada!')
  assert.equal(cachedMethod(greeter, greeter.greet).key('Ada'), 'Greeter.greet("Ada")')
  assert.equal(await Greeter.count(), 1)
})
