import { type ChildProcess, fork } from 'node:child_process'
import type { Reply, Request, Start } from './contestant-worker.ts'

const worker = new URL('./contestant-worker.ts', import.meta.url)

/**
 * A process for each contestant: what the engine learned from one library's calls, and the garbage that it left, are not
 * charged to the next. While one is timed the others wait.
 */
export class ContestantProcess {
  readonly name: string
  readonly #child: ChildProcess

  /** Resolves when the library is open. */
  static async start(start: Start): Promise<ContestantProcess> {
    const contestant = new ContestantProcess(start.contestant)
    await contestant.#request(start)
    return contestant
  }

  private constructor(name: string) {
    this.name = name
    // Options of this process are the child's, too: `node --cpu-prof` profiles every contestant.
    this.#child = fork(worker, { execArgv: [...process.execArgv, '--expose-gc'] })
  }

  /** Whether the contestant has the operation of this case. */
  async prepare(index: number): Promise<boolean> {
    return (await this.#request({ ask: 'prepare', case: index })) as boolean
  }

  /** Calls per second. */
  async time(index: number, milliseconds: number): Promise<number> {
    return (await this.#request({ ask: 'time', case: index, milliseconds })) as number
  }

  async promisesPerCall(index: number): Promise<number> {
    return (await this.#request({ ask: 'promisesPerCall', case: index })) as number
  }

  /** Closes the library and ends its process, also if the library left a socket open, as drivers with a pool do. */
  async close(): Promise<void> {
    await this.#request({ ask: 'close' })
    this.kill()
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #request(message: Start | Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ended = (code: number | null): void => reject(new Error(`The process of ${this.name} ended (${code}).`))
      this.#child.once('exit', ended)
      this.#child.once('message', (reply: Reply) => {
        this.#child.off('exit', ended)
        if ('error' in reply) reject(new Error(`${this.name}: ${reply.error}`))
        else resolve(reply.answer)
      })
      this.#child.send(message)
    })
  }
}
