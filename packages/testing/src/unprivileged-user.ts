import { execFile } from 'node:child_process'
import { cp, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import type { Program, User } from './service.ts'

/** Whom to run a program as that refuses root: `nobody` when we are root, otherwise ourselves (`undefined`). */
export async function unprivilegedUser(): Promise<User | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find(entry => entry.startsWith('nobody:'))
  if (line === undefined) throw new Error('there is no user "nobody" to run the server as')
  const [, , uid, gid] = line.split(':')
  return { uid: Number(uid), gid: Number(gid) }
}

/** The program where the user can run it: a copy, in this folder, if it lies below a folder that is closed to them. */
export async function reachableBy(user: User, program: Program, copy: string): Promise<Program> {
  const reachable = await promisify(execFile)('test', ['-x', program.file], user).then(
    () => true,
    () => false,
  )
  if (reachable || program.folder === undefined) return program
  await cp(program.folder, copy, { recursive: true, verbatimSymlinks: true })
  return { ...program, folder: copy, file: join(copy, relative(program.folder, program.file)) }
}
