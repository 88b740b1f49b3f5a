import { join } from 'node:path'
import { fetchDebian, libraryPath } from '../fetch-program.ts'
import { findProgram, subfolders } from '../find-program.ts'
import type { Program, Report } from '../service.ts'

/** A Java runtime of this machine. */
export function findJava(): Program | undefined {
  const file = findProgram('java', [join(process.env.JAVA_HOME ?? '', 'bin')]) ?? findProgram('java')
  return file === undefined ? undefined : { file }
}

/** A Java runtime of this machine or, failing that, Debian's. */
export async function fetchJava(report: Report): Promise<Program> {
  const installed = findJava()
  if (installed !== undefined) return installed
  const root = await fetchDebian(['openjdk-17-jre-headless'], report)
  const file = findProgram(
    'java',
    subfolders(join(root, 'usr/lib/jvm')).map(folder => join(folder, 'bin')),
  )
  if (file === undefined) throw new Error('openjdk-17-jre-headless holds no java')
  return { file, env: { LD_LIBRARY_PATH: libraryPath(root) } }
}
