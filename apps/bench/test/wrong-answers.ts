// Tries to time libraries whose answers are wrong, and prints what is said of each.
import type { Subject, Suite } from '../src/suite.ts'
import { memory, memoryIsolated } from '../src/suites/memory.ts'
import { prepareTiming } from '../src/timing.ts'

const map = new Map<string, unknown>()
const set = (key: string, value: unknown): void => {
  map.set(key, value)
}
const contestant = { name: 'test', options: '', packages: [], synchronous: true, open: () => Promise.reject() }
const one = { operation: 'hit', size: 'small', concurrency: 1 } as const

async function judge(suite: Suite, subject: Subject): Promise<void> {
  const verdict = await prepareTiming(suite, contestant, subject, one, 10).then(
    () => 'timed',
    () => 'refused',
  )
  console.log(verdict)
}

await judge(memory, { set, hit: key => map.get(key) })
await judge(memory, { set, hit: key => structuredClone(map.get(key)) })
await judge(memory, { set, hit: () => undefined })
await judge(memoryIsolated, { set, hit: key => structuredClone(map.get(key)) })
await judge(memoryIsolated, { set, hit: key => map.get(key) })
