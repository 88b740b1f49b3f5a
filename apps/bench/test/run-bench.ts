import { execFile } from 'node:child_process'
import { join } from 'node:path'

export interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the benchmarks as a user does, except on the packages' sources: nothing has to be built for a test. */
export function runBench(...options: string[]): Promise<Outcome> {
  return runNode('../src/main.ts', ...options)
}

/** @param file Seen from this folder. */
export function runNode(file: string, ...options: string[]): Promise<Outcome> {
  const args = ['--conditions=@cachekit/source', join(__dirname, file), ...options]
  return new Promise(resolve => {
    const child = execFile(process.execPath, args, (_error, stdout, stderr) => {
      resolve({ status: child.exitCode ?? -1, stdout, stderr })
    })
  })
}
