import { execFile, type PromiseWithChild } from 'node:child_process'
import { promisify } from 'node:util'

/**
 * Runs a TypeScript file in a Node process of its own, with the workspace's packages read from their sources. Resolves
 * with its output when it ends; rejects when it fails. The promise's `child` is there for its standard input, to talk
 * to it as it runs, and for its `pid`, to kill it.
 */
export function runScript(file: string, ...args: string[]): PromiseWithChild<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, ['--conditions=@cachekit/source', file, ...args])
}
