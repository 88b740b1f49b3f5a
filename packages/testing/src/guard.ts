import { spawn } from 'node:child_process'

/** Ends what it watches over when this process ends; `dismiss()` when there is nothing left to watch over. */
export interface Guard {
  dismiss(): void
}

/**
 * A shell that waits until this process ends, by whatever signal, and then kills the process group and removes the
 * folder. It learns of the end by its standard input: the system closes the pipe when the last holder is gone.
 */
export function guard(processGroup: number, folder: string): Guard {
  const script = 'cat >/dev/null; kill -9 -- "-$1" 2>/dev/null; sleep 0.1; rm -rf -- "$2"'
  const shell = spawn('sh', ['-c', script, 'guard', `${processGroup}`, folder], {
    detached: true, // Ctrl-C must not end it before us
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  shell.stdin.on('error', () => {}) // the shell may be gone first
  ;(shell.stdin as unknown as { unref(): void }).unref()
  return {
    dismiss: () => {
      shell.kill('SIGKILL')
    },
  }
}
