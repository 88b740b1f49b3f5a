// How long `clear()` takes, and what memory, where a million other entries are in the same table, collection or server.
import { type ChildProcess, fork } from 'node:child_process'
import { parseArgs } from 'node:util'
import { FaultProxy, type ServiceName, startServer } from '@cachekit/testing'
import { Presets, SingleBar } from 'cli-progress'
import { markdownTable } from 'markdown-table'
import type { Cleared, ClearJob, LoadJob, Message } from './clear-worker.ts'

const help = `node --conditions=@cachekit/source apps/bench/src/clear-among-a-million.ts [STORE ...]

Fills a server of its own with entries of other namespaces, half of them under the same root, clears a namespace of a few
entries and one of many among them, and fails if more or less than the namespace is gone, or if memory is not bounded.

  STORE            redis, postgres, memcached, mongodb, firestore, dynamodb; default: all of them
  --foreign COUNT  entries of others; default: 1000000
  --own COUNTS     entries of the namespaces that are cleared; default: 10,100000
  --timeout MS     the backend's timeout; default: 2000 (the emulators take longer: dynamodb 60000, firestore 600000)`

const stores: Readonly<Record<ServiceName, { args?: readonly string[]; timeout?: number }>> = {
  redis: {},
  postgres: {},
  memcached: { args: ['-m', '4096'] },
  mongodb: {},
  firestore: { timeout: 600_000 },
  dynamodb: { timeout: 60_000 },
}

/** What is allowed, whatever the number of entries, in bytes. */
const MAX_HEAP_GROWTH = 64 * 1024 * 1024

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    foreign: { type: 'string', default: '1000000' },
    own: { type: 'string', default: '10,100000' },
    timeout: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

if (values.help) {
  console.log(help)
} else {
  // The two that are written in Java keep their data in its heap, or beside it.
  process.env._JAVA_OPTIONS ??= '-Xmx12g'
  const chosen = positionals.length === 0 ? Object.keys(stores) : positionals
  const rows: string[][] = []
  for (const name of chosen) {
    if (!(name in stores)) throw new Error(`There is no store "${name}".\n\n${help}`)
    rows.push(...(await measure(name as ServiceName)))
  }
  const titles = [
    'store',
    'others',
    'cleared',
    'ms',
    'round trips',
    'KB received',
    'heap +MB',
    'rss +MB',
    'capacity units',
  ]
  console.log(markdownTable([titles, ...rows], { align: ['l', ...titles.slice(1).map(() => 'r')] }))
}

async function measure(store: ServiceName): Promise<string[][]> {
  const { args, timeout = 2000 } = stores[store]
  await using server = await startServer(store, {
    ...(args && { args }),
    ways: ['local', 'fetched'],
    report: line => console.error(line),
  })
  await using proxy = await FaultProxy.start(server)
  const rows: string[][] = []
  const foreign = Number(values.foreign)
  const half = Math.ceil(foreign / 2)
  const { url } = server
  await load({ do: 'load', store, url, root: 'foreign', count: half })
  await load({ do: 'load', store, url, root: 'cachekit', child: 'neighbour', count: foreign - half })
  for (const own of values.own.split(',').map(Number)) {
    await load({ do: 'load', store, url, root: 'cachekit', child: 'own', count: own })
    let before = { ...proxy.traffic }
    const job: ClearJob = {
      do: 'clear',
      store,
      counted: url.replace(`${server.host}:${server.port}`, `${proxy.host}:${proxy.port}`),
      url,
      timeout: Number(values.timeout ?? timeout),
      own,
      others: [
        { root: 'foreign', count: half },
        { root: 'cachekit', child: 'neighbour', count: foreign - half },
      ],
    }
    const cleared = await run<Cleared>(job, () => {
      before = { ...proxy.traffic }
    })
    check(store, cleared)
    const megabytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1)
    rows.push([
      ...[store, `${foreign}`, `${own}`, cleared.milliseconds.toFixed(0)],
      `${proxy.traffic.roundTrips - before.roundTrips}`,
      ((proxy.traffic.received - before.received) / 1024).toFixed(0),
      megabytes(cleared.heapGrowth),
      megabytes(cleared.rssGrowth),
      cleared.capacity === undefined ? '' : `${cleared.capacity.read} read, ${cleared.capacity.written} written`,
    ])
    console.error(rows.at(-1)?.join('  '))
  }
  return rows
}

function check(store: string, { left, lost, heapGrowth, capacity, own }: Cleared): void {
  const faults = [
    left > 0 && `${left} entries are left`,
    lost > 0 && `${lost} entries of others are gone`,
    heapGrowth > MAX_HEAP_GROWTH && `the heap grew by ${heapGrowth} bytes`,
    // A page of each of the 32 shards, and for each entry a read and a write unit at the most.
    capacity !== undefined && capacity.read > 64 + own && `${capacity.read} units were read`,
    capacity !== undefined && capacity.written > own && `${capacity.written} units were written`,
  ].filter(fault => fault !== false)
  if (faults.length > 0) throw new Error(`${store}: ${faults.join('; ')}`)
}

async function load(job: LoadJob): Promise<void> {
  const bar = new SingleBar(
    { format: '{bar} {value}/{total} {eta_formatted} {what}', noTTYOutput: true, notTTYSchedule: 10_000 },
    Presets.shades_classic,
  )
  bar.start(job.count, 0, { what: `${job.store}: entries of ${job.child ?? job.root}` })
  try {
    await run(job, loaded => bar.update(loaded))
  } finally {
    bar.stop()
  }
}

/** Does a job in a process of its own, so that its memory is its own, too. */
function run<T>(job: LoadJob | ClearJob, onProgress: (done: number) => void = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = fork(new URL('./clear-worker.ts', import.meta.url), {
      execArgv: [...process.execArgv, '--conditions=@cachekit/source', '--expose-gc'],
    })
    let answer: T
    child.on('message', (message: Message) => {
      if ('done' in message) onProgress(message.done)
      else answer = message.answer as T
    })
    child.once('exit', code => (code === 0 ? resolve(answer) : reject(new Error(`${job.store}: ${job.do} failed`))))
    child.send(job)
  })
}
