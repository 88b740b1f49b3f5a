import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { guard } from './guard.ts'
import { isStopped, processTree } from './process-tree.ts'
import type { Instance } from './server.ts'
import type { Program, ServiceDefinition } from './service.ts'
import { reachableBy, unprivilegedUser } from './unprivileged-user.ts'
import { until } from './until.ts'

/** Where Linux keeps files in memory. */
const memory = '/dev/shm'
/** How long a server may take to end by itself before it is killed. */
const stopTimeout = 5_000

/** A process of this machine, with a port and a temporary folder of its own. */
export async function programInstance(
  definition: ServiceDefinition,
  program: Program,
  extraArgs: readonly string[],
): Promise<Instance> {
  const port = await freePort()
  const parent = definition.syncsOften && existsSync(memory) ? memory : tmpdir()
  const folder = await mkdtemp(join(parent, `cachekit-${definition.name}-`))
  const data = join(folder, 'data')
  const log = join(folder, 'server.log')
  const user = definition.refusesRoot === true ? await unprivilegedUser() : undefined
  let prepared: Program | undefined
  let child: ChildProcess | undefined

  /** The process as long as it has not ended. */
  const running = (): ChildProcess | undefined =>
    child?.exitCode === null && child.signalCode === null ? child : undefined

  /** Makes the data folder, once, and gives what is needed to the user who will run the program. */
  async function prepare(): Promise<Program> {
    await mkdir(data)
    let reachable = program
    if (user !== undefined) {
      for (const path of [folder, data]) await chown(path, user.uid, user.gid)
      reachable = await reachableBy(user, program, join(folder, 'program'))
    }
    await definition.prepare?.(reachable, data, user)
    return reachable
  }

  async function signal(name: NodeJS.Signals): Promise<void> {
    const pid = running()?.pid
    if (pid === undefined) return
    for (const member of await processTree(pid)) {
      try {
        process.kill(member, name)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // it has just ended by itself
      }
    }
  }

  async function ended(): Promise<void> {
    const process = running()
    if (process === undefined) return
    process.ref()
    await once(process, 'exit')
  }

  return {
    host: '127.0.0.1',
    port,
    version: program.version,

    async start() {
      prepared ??= await prepare()
      const { file, args = [], env } = prepared
      const output = await open(log, 'a')
      try {
        child = spawn(file, [...args, ...definition.programArgs(port, data), ...extraArgs], {
          ...user,
          cwd: folder,
          env: { ...process.env, ...env },
          stdio: ['ignore', output.fd, output.fd],
          detached: true, // a process group of its own, so that Ctrl-C reaches the tests only
        })
        child.on('error', () => {}) // a program that cannot be run: `lastWords()` says so
      } finally {
        await output.close()
      }
      if (child.pid === undefined) throw new Error(`${file} cannot be run`)
      child.unref() // the guard ends it
      const watching = guard('kill -s KILL -- "-$1"; sleep 0.1; rm -rf -- "$2"', `${child.pid}`, folder)
      child.once('exit', watching.dismiss)
    },

    async stop() {
      const kill = setTimeout(() => void signal('SIGKILL'), stopTimeout)
      running()?.kill('SIGTERM')
      await signal('SIGCONT') // a frozen process takes no notice
      await ended()
      clearTimeout(kill)
    },

    async kill() {
      await signal('SIGKILL')
      await ended()
    },

    async freeze() {
      await signal('SIGSTOP')
      const pid = running()?.pid
      if (pid === undefined) return
      await until('the server stands still', async () =>
        (await Promise.all((await processTree(pid)).map(isStopped))).every(Boolean),
      )
    },

    resume: () => signal('SIGCONT'),
    remove: () => rm(folder, { recursive: true, force: true, maxRetries: 10 }),

    async lastWords() {
      return running() === undefined ? (await readFile(log, 'utf8')).slice(-2000) : undefined
    },
  }
}
