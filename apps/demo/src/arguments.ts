import { parseArgs } from 'node:util'
import { backendNames, findStore, type Store } from './backend.ts'
import { traceLength } from './trace.ts'

const usage = `Usage: npx pnpm@12 demo [options]

Replays recorded requests against a small service, without and with a cache, compares the two, and then serves.

  --backend <name>   where the cache keeps its entries: ${backendNames.join(', ')} (default: memory)
  --url <url>        where that store is (default: the demo starts one for itself)
  --requests <n>     how many requests to replay, 1 to ${traceLength} (default: 5000)
  --port <n>         port of the service on 127.0.0.1 (default: any free one)
  --exit             end after the table
  --help             show this text`

export interface Arguments {
  /** Name of the store, as given with `--backend`. */
  readonly backend: string
  readonly store: Store
  /** Where the store is; without it, the app is to start one, if the store is a server. */
  readonly url: string | undefined
  readonly requests: number
  readonly port: number
  readonly exit: boolean
}

/** Reads the command line. Ends the process with status 2 and a message if it cannot be understood. */
export function readArguments(): Arguments {
  const values = parse()
  if (values.help) {
    console.log(usage)
    process.exit()
  }
  const { backend, exit } = values
  const store = findStore(backend)
  if (!store) return fail(`--backend takes ${backendNames.join(' or ')}, not ${JSON.stringify(backend)}.`)
  return {
    backend,
    store,
    url: readUrl(backend, store, values.url),
    requests: wholeNumber('requests', values.requests, 1, traceLength),
    port: wholeNumber('port', values.port, 0, 65_535),
    exit,
  }
}

function parse() {
  try {
    return parseArgs({
      options: {
        backend: { type: 'string', default: 'memory' },
        url: { type: 'string' },
        requests: { type: 'string', default: '5000' },
        port: { type: 'string', default: '0' },
        exit: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    // Node goes on with advice about positional arguments, of which there are none here.
    const [message] = (error as Error).message.split('. ')
    return fail(`${message}.\n\n${usage}`)
  }
}

function readUrl(backend: string, store: Store, given: string | undefined): string | undefined {
  if (given === undefined) return undefined
  if (store.url === undefined)
    return fail(`--url says where a server is, but ${backend} is none: leave it out, or add --backend.`)
  // It is not shown: it may hold a password.
  if (!URL.canParse(given)) return fail(`--url takes a URL such as ${store.url}.`)
  return given
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= min && number <= max) return number
  return fail(`--${option} takes a whole number from ${min} to ${max}, not ${JSON.stringify(text)}.`)
}

function fail(message: string): never {
  console.error(message)
  process.exit(2)
}
