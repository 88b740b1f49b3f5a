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
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => undefined) // it may just have ended
    // The name stands in parentheses and may hold anything, so the fields are counted from its end.
    const parent = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[1]
    if (parent !== undefined) parents.set(Number(entry), Number(parent))
  }
  return parents
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
