import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/** The process and all that descend from it, parents first. */
export async function processTree(root: number): Promise<number[]> {
  const parents = process.platform === 'linux' ? await parentsFromProc() : await parentsFromPs()
  const tree = [root]
  for (const member of tree) {
    for (const [pid, parent] of parents) if (parent === member) tree.push(pid)
  }
  return tree
}

/** `ps` is missing on bare Linux machines, so the kernel is asked itself: proc(5), /proc/pid/stat. */
async function parentsFromProc(): Promise<Map<number, number>> {
  const parents = new Map<number, number>()
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const [, parent] = await statOf(`/proc/${entry}`)
    if (parent !== undefined) parents.set(Number(entry), Number(parent))
  }
  return parents
}

/**
 * Whether no thread of the process runs any more. A SIGSTOP takes its time on a busy machine: until then a server goes on
 * answering. Other systems than Linux do not say it of threads.
 */
export async function isStopped(pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return true
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  const states = await Promise.all(threads.map(async thread => (await statOf(`/proc/${pid}/task/${thread}`))[0]))
  return states.every(state => state === undefined || 'TXZ'.includes(state))
}

/** The state, the parent and so on of a process or thread; nothing of one that has just ended. */
async function statOf(folder: string): Promise<string[]> {
  const stat = await readFile(`${folder}/stat`, 'utf8').catch(() => undefined)
  // The name stands in parentheses and may hold anything, so the fields are counted from its end.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
}

async function parentsFromPs(): Promise<Map<number, number>> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid='])
  return new Map(
    stdout
      .trim()
      .split('\n')
      .map(line => line.trim().split(/\s+/).map(Number) as [number, number]),
  )
}
