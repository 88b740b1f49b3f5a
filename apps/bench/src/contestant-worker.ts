// The process of one contestant: does what its parent asks for, one thing at a time, and answers.
import { once } from 'node:events'
import { casesOf } from './suite.ts'
import { contestantNamed, suiteNamed } from './suites/index.ts'
import { prepareTiming, type Timing } from './timing.ts'

/** The first message; its answer says that the library is ready. */
export interface Start {
  readonly suite: string
  readonly contestant: string
  /** Of the server, if the suite has one. */
  readonly url: string
  /** How many keys are cached. */
  readonly keys: number
}

/** `case` is an index in `casesOf(suite)`. */
export type Request =
  /** Answers whether the contestant has this operation. */
  | { readonly ask: 'prepare'; readonly case: number }
  /** Answers calls per second. */
  | { readonly ask: 'time'; readonly case: number; readonly milliseconds: number }
  | { readonly ask: 'promisesPerCall'; readonly case: number }
  | { readonly ask: 'close' }

export type Reply = { readonly answer: unknown } | { readonly error: string }

const [start] = (await once(process, 'message')) as [Start]
const suite = suiteNamed(start.suite)
const contestant = contestantNamed(suite, start.contestant)
const subject = await contestant.open(start.url)
const cases = casesOf(suite)
const timings = new Map<number, Timing>()

// ^C is for the parent, which closes everything in turn.
process.on('SIGINT', () => {})
// A parent that was killed can close nothing, and what is open here would go on.
process.on('disconnect', () => process.exit())
process.on('message', async (request: Request) => {
  try {
    reply({ answer: await answerTo(request) })
  } catch (error) {
    reply({ error: error instanceof Error ? String(error.stack) : String(error) })
  }
  if (request.ask === 'close') process.disconnect()
})
reply({ answer: true })

async function answerTo(request: Request): Promise<unknown> {
  if (request.ask === 'close') return subject.close?.()
  const one = cases[request.case]
  if (one === undefined) throw new Error(`There is no case ${request.case}.`)
  if (request.ask === 'prepare') {
    const timing = await prepareTiming(suite, contestant, subject, one, start.keys)
    if (timing !== undefined) timings.set(request.case, timing)
    return timing !== undefined
  }
  const timing = timings.get(request.case)
  if (timing === undefined) throw new Error('The case was not prepared.')
  return request.ask === 'time' ? timing.run(request.milliseconds) : timing.promisesPerCall()
}

function reply(message: Reply): void {
  process.send?.(message)
}
