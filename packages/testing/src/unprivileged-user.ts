import { readFile } from 'node:fs/promises'
import type { User } from './service.ts'

/** Whom to run a program as that refuses root: `nobody` when we are root, otherwise ourselves (`undefined`). */
export async function unprivilegedUser(): Promise<User | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find(entry => entry.startsWith('nobody:'))
  if (line === undefined) throw new Error('there is no user "nobody" to run the server as')
  const [, , uid, gid] = line.split(':')
  return { uid: Number(uid), gid: Number(gid) }
}
