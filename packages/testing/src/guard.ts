import { spawn } from 'node:child_process'

/** What is to be done when this process has ended; `dismiss()` when there is nothing left to do. */
export interface Guard {
  dismiss(): void
}

/**
 * Runs a shell command when this process has ended, by whatever signal. A shell waits for that on its standard input:
 * the system closes the pipe when its only holder is gone.
 */
export function guard(command: string, ...args: readonly string[]): Guard {
  const shell = spawn('sh', ['-c', `cat >/dev/null; ${command}`, 'guard', ...args], {
    detached: true, // Ctrl-C must not end it before us
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  shell.stdin.on('error', () => {}) // the shell may be gone first
  ;(shell.stdin as unknown as { unref(): void }).unref() // a pipe is a socket, which its type does not say
  return {
    dismiss: () => {
      shell.kill('SIGKILL')
    },
  }
}
