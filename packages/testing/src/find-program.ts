import { accessSync, constants, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** The first of the folders (by default PATH and the usual places outside it) that holds the program. */
export function findProgram(name: string, folders: readonly string[] = usualFolders()): string | undefined {
  return folders.map(folder => join(folder, name)).find(isExecutable)
}

function usualFolders(): string[] {
  const path = (process.env.PATH ?? '').split(':').filter(folder => folder !== '')
  return [...path, '/usr/local/bin', '/usr/bin', '/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin']
}

/** What lies in a folder, the highest version first; nothing where it does not exist. */
export function subfolders(folder: string): string[] {
  try {
    return readdirSync(folder)
      .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
      .map(name => join(folder, name))
  } catch {
    return []
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
