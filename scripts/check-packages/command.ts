import { type ChildProcess, spawn } from 'node:child_process'

export interface CommandOptions {
  readonly cwd: string
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv
  /** Milliseconds until it is ended. Default: two minutes. */
  readonly timeout?: number
}

/** Every command leads a process group of its own, so that it can be ended with all that it started. */
const running = new Set<ChildProcess>()

let ended = false

/** What a command printed. */
export interface Output {
  readonly stdout: string
  /** Standard output and standard error, as they came. */
  readonly all: string
}

/** Runs a command without input. Rejects with the end of what it printed if it fails. */
export async function run(file: string, args: readonly string[], options: CommandOptions): Promise<Output> {
  if (ended) throw new Error('interrupted')
  const { cwd, env = process.env, timeout = 120_000 } = options
  const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let stdout = ''
  let all = ''
  child.stdout.on('data', chunk => {
    stdout += chunk
    all += chunk
  })
  child.stderr.on('data', chunk => {
    all += chunk
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      all += `\n(ended after ${timeout / 1000} s)`
      end(child)
    }, timeout)
    const settle = (problem?: string): void => {
      clearTimeout(timer)
      running.delete(child)
      if (problem === undefined) resolve({ stdout, all })
      else reject(new Error(`${file} ${args.join(' ')}: ${problem}\n${all.trim().slice(-6000)}`))
    }
    child.on('error', error => settle(error.message))
    child.on('close', (status, signal) => (status === 0 ? settle() : settle(`exit status ${status ?? signal}`)))
  })
}

/** Ends every command that still runs, and lets no other start. */
export function endCommands(): void {
  ended = true
  for (const child of running) end(child)
}

function end(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}
