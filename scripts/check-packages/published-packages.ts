import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const workspace: string = join(import.meta.dirname, '../..')

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
}

export interface PublishedPackage {
  readonly name: string
  readonly folder: string
  readonly manifest: Manifest
}

/** The packages of the workspace that are not private; core is the first. */
export function publishedPackages(): PublishedPackage[] {
  const packages = readdirSync(join(workspace, 'packages')).map(entry => {
    const folder = join(workspace, 'packages', entry)
    const manifest = readManifest(folder)
    return { name: manifest.name, folder, manifest }
  })
  const isCore = ({ name }: PublishedPackage): boolean => name === '@cachekit/core'
  return packages
    .filter(({ manifest }) => manifest.private !== true)
    .sort((a, b) => Number(isCore(b)) - Number(isCore(a)) || a.name.localeCompare(b.name))
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}
